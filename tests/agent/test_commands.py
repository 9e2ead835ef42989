"""Commands reach the table whole, also under a reader that looks in between."""

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
    assert table[3].tolist() == (1_000_000, 10, 7)
    assert table[1].tolist() == (2_500_000, 100, 8)
    assert table[0].tolist() == (0, 0, 0)


@given(st.floats(0, 1e15), st.floats(0, 1e12))
def test_no_finite_value_becomes_no_command(rate, cwnd):
    table = np.zeros(1, COMMAND)
    write(table, [0], [1], [rate], [cwnd])
    assert table["pacing_rate_Bps"][0] == max(1, int(rate / 8))
    assert 1 <= table["cwnd_packets"][0] <= 2**31


def test_the_generation_is_void_while_rate_and_cwnd_change():
    """A table whose columns look at the generation when they are written."""
    log = []

    class Column:
        def __init__(self, name):
            self.name = name

        def __setitem__(self, slots, values):
            log.append((self.name, int(np.max(values))))

    CommandTable({name: Column(name) for name in COMMAND.names}).write(
        np.array([0]), np.array([5]), np.array([80.0]), np.array([9.0])
    )
    assert log == [
        ("generation", 0),
        ("pacing_rate_Bps", 10),
        ("cwnd_packets", 9),
        ("generation", 5),
    ]


@pytest.mark.parametrize("flows", [0, 1, 1000])
def test_any_number_of_flows(flows):
    table = np.zeros(1024, COMMAND)
    write(table, np.arange(flows), np.full(flows, 2), np.full(flows, 8e3), np.full(flows, 4))
    assert (table["generation"] == 2).sum() == flows
