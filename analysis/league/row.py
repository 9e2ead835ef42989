"""The measured half of a row, from the run folder of one cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from analysis.measure import measure_cell, value_of
from analysis.metrics.link import link_metrics, trust_warnings
from analysis.run import Cell, Flow, Run
from analysis.schema import CellMetrics

# Column -> metric of a flow; a cell has the mean over its flows, or their sum where they share one
# link.
_MEANS = {
    "bitrate_mbps": "video.bitrate_mbps",
    "qdelay_p95_ms": "qdelay_ms.p95",
    "owd_p95_ms": "owd_ms.p95",
    "stall_100": "video.stall_rate_100ms",
    "stall_200": "video.stall_rate_200ms",
    "stall_500": "video.stall_rate_500ms",
    "freeze_rate": "video.freeze_rate",
    "frame_delay_p95_ms": "video.frame_delay_ms.p95",
    "power": "power",
    "loss_rate": "loss_rate",
    "jain": "jain",
    "decision_p50_ms": "decisions.latency_ms.p50",
    "decision_p99_ms": "decisions.latency_ms.p99",
    "deadline_miss_rate": "decisions.deadline_miss_rate",
    "llm_share": "decisions.llm_share",
}
_SUMS = {"throughput_mbps": "throughput_mbps", "utilisation": "utilisation"}


def measured(run: Run) -> dict[str, Any]:
    """Every column but the keys, of a run with one cell. Raises AnalysisError."""
    cell = run.cells[0]
    flows = measure_cell(cell)
    row: dict[str, Any] = {
        column: _known(flows, metric, fmean) for column, metric in _MEANS.items()
    }
    row |= {column: _known(flows, metric, math.fsum) for column, metric in _SUMS.items()}
    policies = [flow.decisions for flow in flows if flow.decisions is not None]
    row["local_share"] = (
        fmean(policy.tier_share.get("local", 0.0) for policy in policies) if policies else None
    )
    row["share"] = share_of_link(cell.needed_log("goodput"), cell)
    samples = cell.data.get("cpu", {}).get("samples", [])
    row["cpu_busy"] = fmean(sample["busy"] for sample in samples) if samples else None
    row["cpu_steal"] = fmean(sample["steal"] for sample in samples) if samples else None
    row["warnings"] = "\n".join(
        text.removeprefix(f"{cell.folder.name}: ")
        for text in trust_warnings([cell], link_metrics([cell]))
    )
    return row


def _known(flows: Sequence[CellMetrics], metric: str, fold: Any) -> float | None:
    """NaN and null become null: the table has one way to say that there is nothing."""
    values = [value for flow in flows if math.isfinite(value := value_of(flow, metric))]
    return float(fold(values)) if values else None


def share_of_link(goodput: pd.DataFrame, cell: Cell) -> float | None:
    """Bytes received by the measured flows / by all flows, while all were active; null without
    cross traffic.

    Also null if nothing was received then.
    """
    if all(flow.role == "measured" for flow in cell.flows):
        return None
    start_ns = max(flow.start_ns for flow in cell.flows)
    stop_ns = min(flow.stop_ns for flow in cell.flows)
    own, every = 0, 0
    for flow in cell.flows:
        received = _received(goodput, flow, stop_ns) - _received(goodput, flow, start_ns)
        every += received
        own += received if flow.role == "measured" else 0
    return own / every if every > 0 else None


def _received(goodput: pd.DataFrame, flow: Flow, at_ns: int) -> int:
    rows = goodput[(goodput["flow"] == flow.flow) & (goodput["at_ns"] <= at_ns)]
    return int(rows["received_bytes"].max()) if len(rows) else 0
