"""Completion times of web transfers."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.files import FlowRecord
from analysis.metrics.web import web_metrics


def flow() -> FlowRecord:
    return FlowRecord(
        flow=0, kind="web", role="measured", start_ns=0, stop_ns=10**9,
        base_owd_ns=0, base_rtt_ns=0, bottleneck=0,
    )  # fmt: skip


def test_an_open_transfer_counts_with_the_time_it_has_had() -> None:
    ms = 1_000_000
    transfers = pd.DataFrame(
        {
            "flow": [0, 0, 0, 1],
            "arrival_ns": [0, 100 * ms, 400 * ms, 0],
            "size_bytes": [5_000, 200_000, 5_000, 5_000],
            "completed_ns": [50.0 * ms, 400.0 * ms, float("nan"), 1.0 * ms],
        }
    )
    found = web_metrics(transfers, flow())
    assert found is not None
    assert found.transfers == 3
    assert found.completed_share == pytest.approx(2 / 3)
    assert found.fct_ms.p50 == pytest.approx(300)  # of 50, 300 and 600
    assert found.short_fct_ms.p50 == pytest.approx(325)  # of 50 and 600
    # What completed after the stop was not complete at it.
    late = transfers.assign(completed_ns=[50.0 * ms, 1500.0 * ms, float("nan"), 1.0 * ms])
    again = web_metrics(late, flow())
    assert again is not None
    assert again.completed_share == pytest.approx(1 / 3)
    assert again.fct_ms.p50 == pytest.approx(600)  # of 50, 900 and 600


def test_no_log_is_no_metric() -> None:
    assert web_metrics(pd.DataFrame(), flow()) is None
