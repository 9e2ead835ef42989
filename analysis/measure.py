"""A loaded run to its metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.metrics import delay, loss, throughput
from analysis.metrics.decisions import decision_metrics
from analysis.metrics.fairness import jain_index
from analysis.metrics.link import link_metrics, trust_warnings
from analysis.metrics.percentiles import percentiles_ms
from analysis.metrics.video import video_metrics
from analysis.run import Cell, Run
from analysis.schema import CellMetrics, Metrics, Summary
from analysis.statistics import median_ci95


@dataclass(frozen=True)
class Shown:
    """A metric of the summary: where it is, what it is called, and which way is better."""

    metric: str
    title: str
    higher_is_better: bool
    factor: float = 1.0  # from the stored value to the shown one
    digits: int = 1


SHOWN: tuple[Shown, ...] = (
    Shown("throughput_mbps", "throughput Mbit/s", True, digits=2),
    Shown("utilisation", "utilisation %", True, 100.0),
    Shown("owd_ms.p50", "one-way delay p50 ms", False),
    Shown("owd_ms.p95", "one-way delay p95 ms", False),
    Shown("qdelay_ms.p95", "queueing delay p95 ms", False),
    Shown("loss_rate", "loss %", False, 100.0, 2),
    Shown("retransmit_rate", "retransmitted %", False, 100.0, 2),
    Shown("power", "power", True),
    Shown("jain", "Jain's index", True, digits=3),
    Shown("video.stall_rate_100ms", "stalls >100 ms %", False, 100.0, 2),
    Shown("video.stall_rate_200ms", "stalls >200 ms %", False, 100.0, 2),
    Shown("video.stall_rate_500ms", "stalls >500 ms %", False, 100.0, 2),
    Shown("video.freeze_rate", "freezes %", False, 100.0, 2),
    Shown("video.bitrate_mbps", "displayed bitrate Mbit/s", True, digits=2),
    Shown("video.frame_delay_ms.p95", "frame delay p95 ms", False, 1.0, 0),
    Shown("decisions.latency_ms.p50", "decision latency p50 ms", False, digits=2),
    Shown("decisions.latency_ms.p99", "decision latency p99 ms", False, digits=2),
    Shown("decisions.deadline_miss_rate", "deadline misses %", False, 100.0, 2),
    Shown("decisions.llm_share", "LLM's share of answers %", True, 100.0),
)


def value_of(cell: CellMetrics, metric: str) -> float:
    """The metric at a dotted path; NaN where it is null."""
    found: object = cell
    for part in metric.split("."):
        found = getattr(found, part, None)
    return float(found) if isinstance(found, int | float) else math.nan


def measure(run: Run) -> Metrics:
    """Metrics of every measured flow, their summary, and how far the links can be trusted. Raises
    AnalysisError.
    """
    cells = [metrics for cell in run.cells for metrics in measure_cell(cell)]
    link = link_metrics(run.cells)
    return Metrics(
        run_id=str(run.manifest.get("run_id", run.folder.name)),
        cells=cells,
        summary=summarise(cells),
        link=link,
        warnings=[*run.skipped, *trust_warnings(run.cells, link)],
    )


def measure_cell(cell: Cell) -> list[CellMetrics]:
    """One entry per measured flow."""
    goodput, tcpinfo = cell.needed_log("goodput"), cell.log("tcpinfo")
    has_video = any(flow.kind == "video" for flow in cell.measured)
    frames = cell.needed_log("frames") if has_video else cell.log("frames")
    decisions, acks = cell.log("decisions"), cell.log("acks")
    rates = {flow.flow: throughput.goodput_bps(goodput, flow) for flow in cell.measured}
    jain = jain_index(list(rates.values())) if len(rates) > 1 else None
    measured = []
    for flow in cell.measured:
        packets = cell.data_packets(flow)
        one_way = delay.one_way_ns(cell, flow, packets)
        info = tcpinfo[tcpinfo["flow"] == flow.flow] if len(tcpinfo) else tcpinfo
        rtts_ns = info["srtt_ns"].where(info["srtt_ns"] > 0) if len(info) else np.empty(0)
        measured.append(
            CellMetrics(
                cell=cell.folder.name,
                cc=cell.cc,
                repeat=cell.repeat,
                seed=cell.seed,
                flow=flow.flow,
                kind=flow.kind,
                throughput_mbps=rates[flow.flow] / 1e6,
                utilisation=throughput.utilisation(cell, flow, packets),
                owd_ms=percentiles_ms(one_way),
                qdelay_ms=percentiles_ms(delay.queueing_ns(packets)),
                rtt_ms=percentiles_ms(rtts_ns),
                loss_rate=loss.loss_rate(packets),
                retransmit_rate=loss.retransmit_rate(tcpinfo, flow),
                power=delay.power(rates[flow.flow], one_way),
                jain=jain,
                video=video_metrics(frames, flow) if flow.kind == "video" else None,
                decisions=decision_metrics(decisions, acks, flow),
            )
        )
    return measured


def summarise(cells: Sequence[CellMetrics]) -> list[Summary]:
    """Median over cells with interval, per controller and metric; metrics that no cell has are left
    out.
    """
    summary: list[Summary] = []
    controllers = list(dict.fromkeys(cell.cc for cell in sorted(cells, key=lambda cell: cell.cc)))
    for shown in SHOWN:
        rows: list[tuple[str, float | None, tuple[float, float] | None, int]] = []
        for cc in controllers:
            values = cell_values([cell for cell in cells if cell.cc == cc], shown.metric)
            median, ci95 = median_ci95(list(values.values()))
            known = not math.isnan(median)
            rows.append(
                (cc, median if known else None, ci95, int(np.isfinite(list(values.values())).sum()))
            )
        if all(median is None for _, median, _, _ in rows):
            continue
        for cc, known_median, ci95, count in rows:
            others = [other for name, _, other, _ in rows if name != cc]
            summary.append(
                Summary(
                    cc=cc,
                    metric=shown.metric,
                    median=known_median,
                    ci95=ci95,
                    cells=count,
                    winner=_separate(ci95, others, shown.higher_is_better),
                )
            )
    return summary


def cell_values(cells: Sequence[CellMetrics], metric: str) -> dict[str, float]:
    """Per cell (by its folder), the mean of the metric over its flows that have it; NaN if none
    does.
    """
    by_cell: dict[str, list[float]] = {}
    for cell in cells:
        by_cell.setdefault(cell.cell, []).append(value_of(cell, metric))
    return {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
        for name, values in by_cell.items()
    }


def _separate(
    own: tuple[float, float] | None,
    others: Sequence[tuple[float, float] | None],
    higher_is_better: bool,
) -> bool:
    """Whether ``own`` lies on the better side of all others, without overlap."""
    if own is None or not others:
        return False
    for other in others:
        if other is None or not (own[0] > other[1] if higher_is_better else own[1] < other[0]):
            return False
    return True
