"""Completion times of web transfers, and the share of them that completed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.files import FlowRecord
from analysis.metrics.web import web_metrics
from traces import Steps, Trace, constant

MS = 1_000_000


def flow(stop_ms: int = 1000) -> FlowRecord:
    return FlowRecord(
        flow=0, kind="web", role="measured", start_ns=0, stop_ns=stop_ms * MS,
        base_owd_ns=0, base_rtt_ns=0, bottleneck=0,
    )  # fmt: skip


def log(rows: list[tuple[int, int, float]], number: int = 0) -> pd.DataFrame:
    """Arrival in ms, size in bytes, completion in ms or NaN."""
    return pd.DataFrame(
        {
            "flow": number,
            "arrival_ns": [arrival * MS for arrival, _, _ in rows],
            "size_bytes": [size for _, size, _ in rows],
            "completed_ns": [completed * MS for _, _, completed in rows],
        }
    )


def test_an_open_transfer_counts_with_the_time_it_has_had() -> None:
    rows = [(0, 5_000, 50.0), (100, 200_000, 400.0), (400, 5_000, math.nan)]
    transfers = pd.concat([log(rows), log([(0, 5_000, 1.0)], number=1)])
    found = web_metrics(transfers, flow(), None, 0)
    assert found is not None
    assert found.transfers == 3
    assert found.fct_ms.p50 == pytest.approx(300)  # of 50, 300 and 600
    assert found.short_fct_ms.p50 == pytest.approx(325)  # of 50 and 600
    # What completed after the stop was not complete at it.
    late = web_metrics(log([(0, 5_000, 50.0), (100, 200_000, 1500.0), rows[2]]), flow(), None, 0)
    assert late is not None
    assert late.fct_ms.p50 == pytest.approx(600)  # of 50, 900 and 600


def test_the_share_is_of_transfers_that_had_a_fair_chance() -> None:
    # 8 Mbit/s are 1000 bytes in a millisecond, a tenth of it 100. The flow stops at 10 000 ms, the
    # trace begins at its start.
    rows = [
        (0, 800_000, 9_000.0),  # 8000 ms after the wait: exactly enough, and complete
        (0, 800_001, math.nan),  # a byte too many: cut off
        (3_000, 500_000, math.nan),  # 5000 ms: enough, and not complete
        (7_900, 10_000, 8_000.0),  # 100 ms: exactly enough, and complete
        (7_900, 10_001, 8_000.0),  # not enough: complete all the same, but left out
        (8_001, 1, math.nan),  # less than the wait: cut off
    ]
    found = web_metrics(log(rows), flow(10_000), constant(8e6), 0)
    assert found is not None
    assert found.transfers == 6
    assert found.completed_share == pytest.approx(2 / 3)
    assert found.cut_off == 2
    # Without a rate two seconds are a fair chance.
    bare = web_metrics(log(rows), flow(10_000), None, 0)
    assert bare is not None
    assert bare.completed_share == pytest.approx(3 / 5)
    assert bare.cut_off == 1


def test_capacity_counts_from_the_cells_start() -> None:
    # Nothing for the cell's first 5 s, then 8 Mbit/s; the flow runs from 1 s to 11 s of the clock.
    late = Trace("late", None, Steps(np.array([0, 5_000 * MS]), np.array([0.0, 8e6])))
    rows = [(1_000, 500_000, 11_000.0), (1_000, 500_001, math.nan)]
    found = web_metrics(log(rows), flow(11_000), late, 1_000 * MS)
    assert found is not None
    assert found.completed_share == 1
    assert found.cut_off == 1


def test_a_cell_that_is_too_short_for_any_transfer_says_nothing() -> None:
    found = web_metrics(log([(0, 1, 10.0)]), flow(1_000), constant(8e6), 0)
    assert found is not None
    assert found.completed_share is None
    assert found.cut_off == 0


def test_no_log_is_no_metric() -> None:
    assert web_metrics(pd.DataFrame(), flow(), None, 0) is None
