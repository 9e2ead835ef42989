"""A loaded run to its metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.metrics import delay, loss, throughput
from analysis.metrics.dash import dash_metrics
from analysis.metrics.decisions import WINDOW_NS, decision_metrics
from analysis.metrics.fairness import jain_index
from analysis.metrics.jobs import jobs_metrics
from analysis.metrics.link import link_metrics, link_warnings
from analysis.metrics.percentiles import percentiles_ms
from analysis.metrics.schema import CellMetrics, Metrics, Summary
from analysis.metrics.table import RUN, Metric, value_of
from analysis.metrics.trust import policy_doubts
from analysis.metrics.video import FILMS, video_metrics
from analysis.metrics.web import WebMetrics, web_metrics
from analysis.run import Cell, Flow, Run
from analysis.statistics import Interval, median_ci95


def measure(run: Run) -> Metrics:
    """Metrics of every measured flow, their summary, and how far the links can be trusted. Raises
    AnalysisError.
    """
    by_cell = [(cell, measure_cell(cell)) for cell in run.cells]
    cells = [metrics for _, flows in by_cell for metrics in flows]
    link = link_metrics(run.cells)
    doubts = [doubt for cell, flows in by_cell for doubt in policy_doubts(cell, flows)]
    return Metrics(
        run_id=run.manifest.run_id or run.folder.name,
        cells=cells,
        summary=summarise(cells),
        link=link,
        doubts=doubts,
        warnings=[
            *(f"{doubt.cell}: {doubt.text}" for doubt in doubts),
            *run.skipped,
            *link_warnings(run.cells, link),
        ],
    )


def measure_cell(cell: Cell) -> list[CellMetrics]:
    """One entry per measured flow."""
    goodput, tcpinfo = cell.needed_log("goodput"), cell.log("tcpinfo")
    has_video = any(flow.kind in FILMS for flow in cell.measured)
    frames = cell.needed_log("frames") if has_video else cell.log("frames")
    decisions, acks, events = cell.log("decisions"), cell.log("acks"), cell.log("events")
    rates = {flow.flow: throughput.goodput_bps(goodput, flow) for flow in cell.measured}
    jain = _fairness(cell, rates)
    measured = []
    for flow in cell.measured:
        packets = cell.data_packets(flow)
        acks_back = cell.ack_packets(flow)
        one_way = delay.one_way_ns(cell, flow, packets)
        info = tcpinfo[tcpinfo["flow"] == flow.flow] if len(tcpinfo) else tcpinfo
        rtts_ns = info["srtt_ns"].where(info["srtt_ns"] > 0) if len(info) else np.empty(0)
        measured.append(
            CellMetrics(
                cell=cell.folder.name,
                cc=cell.cc,
                abr=cell.record.abr,
                scheduler=cell.record.scheduler,
                repeat=cell.repeat,
                seed=cell.seed,
                flow=flow.flow,
                kind=flow.kind,
                throughput_mbps=rates[flow.flow] / 1e6,
                utilisation=throughput.utilisation(cell, flow, packets),
                link_utilisation=throughput.link_utilisation(cell, flow),
                owd_ms=percentiles_ms(one_way),
                qdelay_ms=percentiles_ms(delay.queueing_ns(packets, flow)),
                ack_qdelay_ms=percentiles_ms(delay.queueing_ns(acks_back, flow))
                if len(acks_back)
                else None,
                rtt_ms=percentiles_ms(rtts_ns),
                loss_rate=loss.loss_rate(packets),
                mark_rate=loss.mark_rate(packets, cell.marks(flow)),
                retransmit_rate=loss.retransmit_rate(tcpinfo, flow),
                power=delay.power(rates[flow.flow], one_way),
                jain=jain[flow.flow],
                video=video_metrics(frames, flow) if flow.kind in FILMS else None,
                dash=dash_metrics(cell.log("chunks"), cell.log("sessions"), flow)
                if flow.kind == "dash"
                else None,
                web=_web(cell, flow) if flow.kind == "web" else None,
                jobs=jobs_metrics(cell, flow) if flow.kind == "jobs" else None,
                decisions=decision_metrics(decisions, acks, events, flow, window_ns(cell))
                if cell.is_policy
                else None,
            )
        )
    return measured


def _web(cell: Cell, flow: Flow) -> WebMetrics | None:
    trace = cell.bottleneck_trace(flow)
    return web_metrics(cell.log("transfers"), flow, trace, cell.start_ns)


def window_ns(cell: Cell) -> int:
    """Length of the agent's decision windows in this cell."""
    said = (cell.record.agent or {}).get("window_ns")
    return said if isinstance(said, int) and said >= 1_000_000 else WINDOW_NS


def _fairness(cell: Cell, rates: dict[int, float]) -> dict[int, float | None]:
    """Jain's index per flow, among the measured flows of its bottleneck and direction."""
    beside = {
        flow.flow: [other.flow for other in cell.measured if other.bottleneck == flow.bottleneck]
        for flow in cell.measured
    }
    return {
        flow: jain_index([rates[other] for other in others]) if len(others) > 1 else None
        for flow, others in beside.items()
    }


def summarise(cells: Sequence[CellMetrics]) -> list[Summary]:
    """Median over cells with interval, per controller and metric; metrics that no cell has are left
    out.
    """
    summary: list[Summary] = []
    controllers = list(dict.fromkeys(cell.cc for cell in sorted(cells, key=lambda cell: cell.cc)))
    for shown in RUN:
        rows: list[tuple[str, float | None, Interval | None, int]] = []
        for cc in controllers:
            values = cell_values([cell for cell in cells if cell.cc == cc], shown.path)
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
                    metric=shown.path,
                    median=known_median,
                    ci95=ci95,
                    cells=count,
                    winner=_wins(shown, ci95, others),
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


def _wins(metric: Metric, own: Interval | None, others: Sequence[Interval | None]) -> bool:
    """Whether ``own`` lies on the better side of all others, without overlap, and this is marked
    for the metric.
    """
    if own is None or not others or not metric.crowned or metric.higher_is_better is None:
        return False
    up = metric.higher_is_better
    return all(
        other is not None and (own[0] > other[1] if up else own[1] < other[0]) for other in others
    )
