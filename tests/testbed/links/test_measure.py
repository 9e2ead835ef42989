"""How a link judges itself, on packets made by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.metrics.link import RATE_ERROR_PCT
from testbed.links.base import DELIVERED, PACKET_SCHEMA, RANDOM_LOSS, TAIL_DROP
from testbed.links.measure import Windows, backlogged_windows, judge, percentiles
from traces.model import constant

MS = 1_000_000


def packets(
    count: int, spacing_ns: int, late_ns: int = 0, verdict: int = DELIVERED, first_ns: int = 0
) -> pa.Table:
    """A queue that is filled at the beginning and then served a packet of 1500 bytes every
    `spacing_ns`.
    """
    due_ns = first_ns + spacing_ns * np.arange(1, count + 1)
    left = np.full(count, verdict not in (TAIL_DROP,))
    columns = {
        "link": np.zeros(count),
        "flow": np.zeros(count),
        "ack": np.zeros(count, bool),
        "enqueue_ns": first_ns + np.arange(count),
        "dequeue_ns": pa.array(due_ns + late_ns, mask=~left),
        "deliver_ns": pa.array(due_ns + late_ns, mask=~left),
        "size_bytes": np.full(count, 1500),
        "queue_bytes": np.zeros(count),
        "due_ns": pa.array(due_ns, mask=~left),
        "verdict": np.full(count, verdict),
        **dict.fromkeys(PACKET_SCHEMA.names[10:], np.zeros(count)),
    }
    return pa.table(
        [pa.array(columns[field.name]).cast(field.type) for field in PACKET_SCHEMA], PACKET_SCHEMA
    )


def test_a_true_link_shows_no_error() -> None:
    # 12 Mbit/s: a packet a millisecond; departures at 1..100 ms, the last of them in the second
    # window.
    record, warnings = judge(packets(1000, MS), constant(12e6), 0)
    assert len(record.rate_error) == 10
    assert np.abs(record.rate_error).max() <= 0.01
    assert record.lateness_ns == percentiles(np.zeros(1))
    assert warnings == []


def test_a_slow_link_is_found_out() -> None:
    record, warnings = judge(packets(1000, MS), constant(15e6), 0)
    assert np.median(record.rate_error) == pytest.approx(-0.2 + 1500 / 187_500)
    assert len(warnings) == 1
    assert "100% of the stretches with a backlog" in warnings[0]


def test_late_packets_are_found_out() -> None:
    record, warnings = judge(packets(3000, MS, late_ns=6 * MS), constant(12e6), 0)
    assert record.lateness_ns is not None
    assert record.lateness_ns.p50 == 6 * MS
    assert len(warnings) == 1
    assert "6.0 ms late" in warnings[0]


def test_only_windows_with_a_backlog_throughout_count() -> None:
    # Busy from 30 to 280 ms: only the window from 100 to 200 ms is full.
    table = packets(250, MS, first_ns=30 * MS)
    columns = [table[name].to_numpy() for name in ("enqueue_ns", "dequeue_ns", "size_bytes")]
    windows = backlogged_windows(*columns, constant(12e6), 0, table["due_ns"].to_numpy())
    assert windows.number.tolist() == [1]
    assert windows.capacity_bytes.tolist() == [150_000]
    assert windows.served_bytes.tolist() == [150_000]
    # The link idles between two packets that come 2 ms apart.
    idle = np.arange(500) * 2 * MS
    windows = backlogged_windows(idle, idle + MS, np.full(500, 1500), constant(12e6), 0, idle + MS)
    assert len(windows.capacity_bytes) == 0


def test_packets_that_never_left_do_not_count() -> None:
    record, warnings = judge(packets(300, MS, verdict=TAIL_DROP), constant(12e6), 0)
    assert (len(record.rate_error), record.lateness_ns, warnings) == (0, None, [])


def test_lost_packets_used_capacity_but_were_not_late() -> None:
    record, _ = judge(packets(300, MS, verdict=RANDOM_LOSS), constant(12e6), 0)
    assert len(record.rate_error) == 3
    assert np.abs(record.rate_error).max() <= 0.01
    assert record.lateness_ns is None


def test_without_a_trace_or_a_start_there_is_no_rate_to_judge() -> None:
    for trace, zero_ns in ((None, 0), (constant(12e6), None)):
        record, _ = judge(packets(300, MS), trace, zero_ns)
        assert len(record.rate_error) == 0
        assert record.lateness_ns is not None


def served(rate_bps: float, size_bytes: npt.NDArray[np.int64], first_ns: int) -> pa.Table:
    """Packets of these sizes through a link of this rate, exact to the nanosecond."""
    due_ns = first_ns + np.ceil(np.cumsum(size_bytes) * 8e9 / rate_bps).astype(np.int64)
    table = packets(len(size_bytes), 1, first_ns=first_ns)
    for name, values in (("dequeue_ns", due_ns), ("due_ns", due_ns), ("size_bytes", size_bytes)):
        index = PACKET_SCHEMA.get_field_index(name)
        column = pa.array(values).cast(PACKET_SCHEMA.field(name).type)
        table = table.set_column(index, PACKET_SCHEMA.field(name), column)
    return table


def verdict(table: pa.Table, capacity_bps: float) -> tuple[float, list[str]]:
    """The median error as the report takes it, and the link's own warnings."""
    record, warnings = judge(table, constant(capacity_bps), 0)
    assert len(record.rate_error)
    return float(np.median(np.abs(record.rate_error))) * 100, warnings


sizes = st.lists(st.integers(60, 1500), min_size=1, max_size=40)


@given(st.floats(5e4, 5e7), sizes, st.integers(0, 10**9))
def test_an_exact_link_is_never_called_off(
    rate_bps: float, pattern: list[int], first_ns: int
) -> None:
    seconds = 4 + 1e6 / rate_bps
    count = int(seconds * rate_bps / 8 / np.mean(pattern))
    table = served(rate_bps, np.resize(np.array(pattern), count), first_ns)
    error_pct, warnings = verdict(table, rate_bps)
    assert error_pct <= 1e-6
    assert warnings == []


@given(st.sampled_from([(0.5e6, 0.10), (12e6, 0.03)]), st.sampled_from([-1, 1]), sizes)
def test_a_rate_that_is_really_wrong_is_called_so(
    case: tuple[float, float], sign: int, pattern: list[int]
) -> None:
    rate_bps, error = case
    real_bps = rate_bps * (1 + sign * error)
    count = int(10 * real_bps / 8 / np.mean(pattern))
    table = served(real_bps, np.resize(np.array(pattern), count), 0)
    error_pct, _ = verdict(table, rate_bps)
    assert error_pct > RATE_ERROR_PCT


def test_windows_are_merged_within_their_stretch_alone() -> None:
    # 25 packets a window: pairs make 50. Windows 0 to 4 are one stretch: the fifth joins the pair
    # before. 7 stands alone; 9 and 10 are a pair.
    number = np.array([0, 1, 2, 3, 4, 7, 9, 10])
    capacity = np.full(8, 25 * 1500.0)
    windows = Windows(number, capacity, capacity + 1500.0 + 375.0 * np.arange(8))
    # Beyond a packet per window and group: of 2, 3, 1, 2 windows.
    extra = [1500 + 375, 2 * 1500 + 375 * 9, 375 * 5, 1500 + 375 * 13]
    expected = [over / (count * 37_500) for over, count in zip(extra, (2, 3, 1, 2), strict=True)]
    assert windows.rate_error == pytest.approx(expected)


def test_an_outage_within_a_stretch_must_carry_nothing() -> None:
    number = np.arange(3)
    capacity = np.array([75_000.0, 0.0, 75_000.0])
    assert Windows(number, capacity, capacity).rate_error.tolist() == [0.0, 0.0]
    through = Windows(number, capacity, capacity + np.array([0.0, 9000.0, 0.0]))
    assert through.rate_error.tolist() == [0.0, 0.1]
