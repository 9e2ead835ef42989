"""How a link judges itself, on packets made by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from testbed.links.base import DELIVERED, PACKET_SCHEMA, RANDOM_LOSS, TAIL_DROP
from testbed.links.measure import backlogged_windows, judge, percentiles
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
    assert np.median(record.rate_error) == pytest.approx(-0.2)
    assert len(warnings) == 1
    assert "100% of the 100 ms windows" in warnings[0]


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
