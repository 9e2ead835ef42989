"""Commands reach the table whole, also under a reader that looks in between."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands import CommandTable
from agent.layout import COMMAND


def write(table, slots, generations, rates, cwnds):
    CommandTable(table).write(
        np.array(slots), np.array(generations), np.array(rates, float), np.array(cwnds, float)
    )


def test_values_are_converted():
    table = np.zeros(4, COMMAND)
    write(table, [3, 1], [7, 8], [8e6, 20e6], [10.4, 99.5])
    assert table[3].tolist() == (1_000_000, 10, 7, 2, 0)
    assert table[1].tolist() == (2_500_000, 100, 8, 2, 0)
    assert table[0].tolist() == (0, 0, 0, 0, 0)


@given(st.floats(0, 1e15), st.floats(0, 1e12))
def test_no_finite_value_becomes_no_command(rate, cwnd):
    table = np.zeros(1, COMMAND)
    write(table, [0], [1], [rate], [cwnd])
    assert table["pacing_rate_Bps"][0] == max(1, int(rate / 8))
    assert 1 <= table["cwnd_packets"][0] <= 2**31


class Watched:
    """A column that notes the whole table after each of its writes."""

    def __init__(self, table, name, seen):
        self._table, self._name, self._seen = table, name, seen

    def __getitem__(self, slots):
        return self._table[self._name][slots]

    def __setitem__(self, slots, values):
        self._table[self._name][slots] = values
        self._seen.append(self._table[0].copy())


def reads(seen):
    """What the datapath may take whose five reads meet the table at any moments of ``seen``."""
    for moments in itertools.combinations_with_replacement(seen, 5):
        first, generation, rate, cwnd, last = moments
        if not first["sequence"] & 1 and first["sequence"] == last["sequence"]:
            yield (
                int(rate["pacing_rate_Bps"]),
                int(cwnd["cwnd_packets"]),
                int(generation["generation"]),
            )


@pytest.mark.parametrize("sequence", [0, 7, 2**32 - 2])
def test_no_reader_takes_half_a_command(sequence):
    """Not even one that two whole writes pass by; 7 was left odd by an agent that died writing."""
    table = np.zeros(1, COMMAND)
    table["sequence"] = sequence
    seen = [table[0].copy()]
    columns = {name: Watched(table, name, seen) for name in COMMAND.names}
    write(columns, [0], [5], [80.0], [9.0])
    write(columns, [0], [5], [160.0], [18.0])
    assert set(reads(seen)) - {(0, 0, 0)} == {(10, 9, 5), (20, 18, 5)}


@pytest.mark.parametrize("flows", [0, 1, 1000])
def test_any_number_of_flows(flows):
    table = np.zeros(1024, COMMAND)
    write(table, np.arange(flows), np.full(flows, 2), np.full(flows, 8e3), np.full(flows, 4))
    assert (table["generation"] == 2).sum() == flows
