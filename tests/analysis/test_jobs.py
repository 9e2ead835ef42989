"""Job completion times and transfers, against cases that were counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.files import CellRecord, FlowRecord
from analysis.metrics.jobs import covered_ns, jobs_metrics
from analysis.report.cluster import completion_cdf, gantt_charts
from analysis.run import Cell

S = 1_000_000_000
START = 5 * S
FLOW = FlowRecord(
    flow=0, kind="jobs", role="measured", start_ns=START, stop_ns=START + 20 * S, base_owd_ns=0,
    base_rtt_ns=0, bottleneck=0, sender="s1", receiver="d1",
)  # fmt: skip


def task(job: int, worker: int, start_s: float, fetched_s: float, end_s: float, **more: object):  # type: ignore[no-untyped-def]
    return {
        "flow": 0, "job": job, "stage": 0, "worker": worker, "slot": 0,
        "start_ns": START + round(start_s * S), "fetched_ns": START + round(fetched_s * S),
        "end_ns": START + round(end_s * S), "late_ns": 2_000_000,
        "remote_bytes": 1_000_000 if fetched_s > start_s else 0, "lost": False,
    } | more  # fmt: skip


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    """Job 0 takes 10 s and fetches in 2 of them, job 1 is not done after 4 s."""
    pd.DataFrame(
        {"flow": [0, 0], "job": [0, 1], "arrival_ns": [START, START + 16 * S],
         "done_ns": pd.array([START + 10 * S, None], "Int64")}
    ).to_parquet(tmp_path / "jobs.parquet")  # fmt: skip
    pd.DataFrame(
        [
            task(0, 0, 0, 0, 4),
            task(0, 1, 4, 5.5, 9),
            task(0, 0, 5, 6, 10),  # overlaps by half a second
            task(1, 0, 16, 16, 18),
            task(1, 1, 16, 17, 17, lost=True),
        ]
    ).to_parquet(tmp_path / "tasks.parquet")
    pd.DataFrame(
        {"flow": [0] * 4, "source": ["policy", "policy", "fallback", "simple"],
         "decision_ns": [1_000_000] * 4}
    ).to_parquet(tmp_path / "placements.parquet")  # fmt: skip
    record = CellRecord(
        cc="cubic", scheduler="policy", repeat=0, seed=1, start_ns=START, stop_ns=START + 20 * S,
        flows=[FLOW], links=[],
    )  # fmt: skip
    return Cell(tmp_path, record)


def test_completion_times_and_transfers(cell: Cell) -> None:
    found = jobs_metrics(cell, FLOW)
    assert found is not None
    assert found.jct_mean_s == pytest.approx((10 + 4) / 2)
    assert found.jct_p95_s == pytest.approx(4 + 0.95 * 6)
    assert found.transfer_share == pytest.approx((2 / 10 + 0) / 2)
    assert (found.jobs, found.done_share, found.tasks_lost) == (2, 0.5, 1)
    assert found.makespan_s == pytest.approx(20)
    assert found.remote_mbytes == pytest.approx(2)
    assert found.lateness_ms.p99 == pytest.approx(2)
    assert (found.policy_share, found.fallback_share) == (0.5, 0.25)
    assert found.decision_ms.p50 == pytest.approx(1)


def test_only_the_flow_that_leads_has_them(cell: Cell) -> None:
    assert jobs_metrics(cell, FLOW.model_copy(update={"flow": 1})) is None


def test_intervals_that_touch_or_lie_inside_count_once() -> None:
    rows = pd.DataFrame({"start_ns": [0, 2, 3, 10], "fetched_ns": [5, 4, 7, 11]})
    assert covered_ns(rows) == 8


def test_figures(cell: Cell) -> None:
    ((name, title, figure, height),) = gantt_charts([cell])
    assert title == "cubic + policy"
    assert name.startswith("cluster-")
    assert height > 100
    names = {bar.name for bar in figure.data}
    assert {"transfers", "lost with their worker"} <= names
    assert list(figure.layout.yaxis.ticktext) == ["d1", "s1"]
    cdf = completion_cdf([cell], {"cubic + policy": "#000000"})
    assert cdf is not None
    assert list(cdf.data[0].y) == [0, 0.5]
