"""The measured half of a row, from the run folder of one cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from analysis.league.table import SCHEMA
from analysis.measure import measure_cell
from analysis.metrics.link import link_metrics, link_warnings
from analysis.metrics.schema import CellMetrics
from analysis.metrics.table import METRICS, Metric, value_of
from analysis.metrics.trust import policy_doubts
from analysis.run import Cell, Flow, Run

_COLUMNS = tuple(metric for metric in METRICS if metric.path and metric.name in set(SCHEMA.names))


def measured(run: Run) -> dict[str, Any]:
    """Every column but the keys, of a run with one cell. Raises AnalysisError."""
    cell = run.cells[0]
    flows = measure_cell(cell)
    row: dict[str, Any] = {metric.name: _known(flows, metric) for metric in _COLUMNS}
    policies = [flow.decisions for flow in flows if flow.decisions is not None]
    row["local_share"] = fmean(policy.local_share for policy in policies) if policies else None
    row["share"] = share_of_link(cell.needed_log("goodput"), cell)
    samples = cell.record.cpu.samples
    row["cpu_busy"] = fmean(sample.busy for sample in samples) if samples else None
    row["cpu_steal"] = fmean(sample.steal for sample in samples) if samples else None
    warnings = link_warnings([cell], link_metrics([cell]))
    row["warnings"] = "\n".join(
        (
            *(doubt.text for doubt in policy_doubts(cell, flows)),
            *(text.removeprefix(f"{cell.folder.name}: ") for text in warnings),
        )
    )
    return row


def _known(flows: Sequence[CellMetrics], metric: Metric) -> float | None:
    """NaN and null become null: the table has one way to say that there is nothing."""
    values = [value for flow in flows if math.isfinite(value := value_of(flow, metric.path))]
    if not values:
        return None
    return float(math.fsum(values) if metric.fold == "sum" else fmean(values))


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
