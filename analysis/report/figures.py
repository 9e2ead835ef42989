"""The report's figures, as plotly JSON. Curves are thinned to what a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from analysis.files import Verdict
from analysis.metrics import delay, throughput
from analysis.metrics.schema import Metrics
from analysis.metrics.video import display_gaps_ns
from analysis.report import decisions
from analysis.report.cluster import completion_cdf, gantt_charts
from analysis.report.palette import PALETTE
from analysis.report.sessions import timelines
from analysis.run import Cell, Flow, Run

_CAPACITY = "rgba(128,128,128,0.35)"
STALL_NS = 100_000_000
_CDF_POINTS = 300
_DELAY_TICKS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]


@dataclass(frozen=True)
class Figure:
    """A figure and the words above it."""

    name: str
    title: str
    text: str
    json: str


def colour_of(run: Run) -> dict[str, str]:
    """A colour per controller, by name, so that a scheme looks alike in every figure."""
    controllers = sorted({cell.cc for cell in run.cells})
    return {cc: PALETTE[index % len(PALETTE)] for index, cc in enumerate(controllers)}


def figures(run: Run, metrics: Metrics) -> list[Figure]:
    """Every figure for which the run has data. Time series show the first repeat."""
    colours = colour_of(run)
    first = [cell for cell in run.cells if cell.repeat == min(cell.repeat for cell in run.cells)]
    first.sort(key=lambda cell: cell.cc)
    found = [
        _rate(first, colours),
        _queueing(first, colours),
        _delay_cdf(run.cells, colours),
        _scatter(metrics, colours),
    ]
    if any(flow.kind == "video" for cell in first for flow in cell.measured):
        found.append(_frames(first, colours))
    text = (
        "Level and throughput in Mbit/s; throughput per chunk, from request to last byte, over the "
        "capacity. Red: stalls."
    )
    found += [
        _figure(name, f"Session: {title}", text, figure, height=460)
        for name, title, figure in timelines(first, colours)
    ]
    found += _clusters(run.cells, first, colours)
    found += _decisions(first)
    return found


def _clusters(
    cells: Sequence[Cell], first: Sequence[Cell], colours: dict[str, str]
) -> list[Figure]:
    found = []
    cdf = completion_cdf(cells, colours)
    if cdf is not None:
        text = "Share of the jobs that were done so many seconds after they arrived, all repeats."
        found.append(_figure("jct", "Job completion times", text, cdf))
    text = (
        "A row for each slot of a worker, a colour for each job (colours come again). Grey: the "
        "task waits for its input. First repeat."
    )
    found += [
        _figure(name, f"Cluster: {title}", text, figure, height=height)
        for name, title, figure, height in gantt_charts(first)
    ]
    return found


def _figure(name: str, title: str, text: str, figure: go.Figure, height: int = 340) -> Figure:
    figure.update_layout(
        template="none",
        margin={"l": 56, "r": 16, "t": 8, "b": 44},
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.12, "x": 0},
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
    )
    return Figure(name, title, text, figure.to_json())


def _rate(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    figure = go.Figure()
    if cells and cells[0].measured:
        cell, flow = cells[0], cells[0].measured[0]
        capacity = throughput.capacity_bps(cell, flow)
        seconds = np.arange(len(capacity)) * throughput.WINDOW_NS / 1e9
        figure.add_scatter(
            x=seconds, y=np.round(capacity / 1e6, 3), name="capacity", mode="lines", fill="tozeroy",
            line={"width": 0, "shape": "hv"}, fillcolor=_CAPACITY,
        )  # fmt: skip
    for cell in cells:
        for flow in cell.measured:
            seconds, rate = throughput.delivered_bps(
                cell.data_packets(flow), cell.start_ns, cell.stop_ns
            )
            figure.add_scatter(
                x=np.round(seconds, 2),
                y=np.round(rate / 1e6, 3),
                name=_label(cell, flow),
                mode="lines",
                line={"width": 1.5, "color": colours[cell.cc]},
            )
    figure.update_xaxes(title="s")
    figure.update_yaxes(title="Mbit/s", rangemode="tozero")
    return _figure(
        "rate", "Capacity and delivered rate", "Per 100 ms at the bottleneck, first repeat.", figure
    )


def _queueing(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    figure = go.Figure()
    for cell in cells:
        for flow in cell.measured:
            packets = cell.data_packets(flow)
            sent = packets[packets["verdict"] == Verdict.DELIVERED]
            if not len(sent):
                continue
            window = ((sent["enqueue_ns"] - cell.start_ns) // throughput.WINDOW_NS).to_numpy()
            worst = (sent["dequeue_ns"] - sent["enqueue_ns"]).groupby(window).max()
            figure.add_scatter(
                x=np.round(worst.index.to_numpy() / 10, 1),
                y=np.round(worst.to_numpy() / 1e6, 2),
                name=_label(cell, flow),
                mode="lines",
                line={"width": 1.5, "color": colours[cell.cc]},
            )
    figure.update_xaxes(title="s")
    figure.update_yaxes(title="ms", rangemode="tozero")
    return _figure(
        "queueing", "Queueing delay", "Largest per 100 ms of arrival, first repeat.", figure
    )


def _delay_cdf(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    figure = go.Figure()
    shares = np.linspace(0, 1, _CDF_POINTS)
    for cc in sorted(colours):
        own = [cell for cell in cells if cell.cc == cc]
        delays = [
            delay.one_way_ns(cell, flow, cell.data_packets(flow))
            for cell in own
            for flow in cell.measured
        ]
        values = np.concatenate(delays) if delays else np.empty(0)
        if len(values):
            figure.add_scatter(
                x=np.round(np.quantile(values, shares) / 1e6, 2),
                y=np.round(shares, 4),
                name=cc,
                mode="lines",
                line={"width": 2, "color": colours[cc]},
            )
    figure.update_xaxes(title="one-way delay, ms", type="log", tickvals=_DELAY_TICKS_MS)
    figure.update_yaxes(title="share of packets", range=[0, 1])
    return _figure(
        "delay-cdf", "One-way delay", "Distribution over all packets of all repeats.", figure
    )


def _scatter(metrics: Metrics, colours: dict[str, str]) -> Figure:
    figure = go.Figure()
    for cc in sorted(colours):
        own = [cell for cell in metrics.cells if cell.cc == cc and cell.owd_ms.p95 is not None]
        figure.add_scatter(
            x=[cell.owd_ms.p95 for cell in own],
            y=[cell.throughput_mbps for cell in own],
            name=cc,
            mode="markers",
            marker={"size": 10, "color": colours[cc]},
            text=[f"{cell.cell}, flow {cell.flow}" for cell in own],
        )
    figure.update_xaxes(
        title="one-way delay p95, ms (better right)", autorange="reversed", rangemode="tozero"
    )
    figure.update_yaxes(title="Mbit/s (better up)", rangemode="tozero")
    return _figure(
        "scatter",
        "Throughput against delay",
        "One point per flow; up and to the right is better.",
        figure,
    )


def _frames(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    figure = go.Figure()
    names = []
    for cell in cells:
        frames = cell.log("frames")
        for flow in cell.measured:
            if flow.kind != "video" or not len(frames):
                continue
            names.append(name := _label(cell, flow))
            rows = frames[frames["flow"] == flow.flow]
            shown = np.unique(rows["displayed_ns"].dropna().to_numpy(dtype=np.int64))
            shown = shown[shown <= flow.stop_ns]
            seconds = np.round((shown - cell.start_ns) / 1e9, 3)
            figure.add_scatter(
                x=seconds,
                y=[name] * len(shown),
                mode="markers",
                name=name,
                showlegend=False,
                marker={
                    "symbol": "line-ns",
                    "size": 14,
                    "line": {"width": 1, "color": colours[cell.cc]},
                },
            )
            gaps = display_gaps_ns(rows, flow.stop_ns)
            for at_ns, gap_ns in zip(shown[gaps > STALL_NS], gaps[gaps > STALL_NS], strict=True):
                begin = (at_ns - cell.start_ns) / 1e9
                figure.add_scatter(
                    x=[begin, begin + gap_ns / 1e9], y=[name, name], mode="lines", showlegend=False,
                    line={"width": 9, "color": "rgba(200,30,30,0.75)"}, name="stall",
                    hovertext=f"stall of {gap_ns / 1e6:.0f} ms", hoverinfo="text+x",
                )  # fmt: skip
    figure.update_xaxes(title="s")
    figure.update_yaxes(automargin=True)
    text = "A stroke per displayed frame, first repeat; red: more than 100 ms without one."
    return _figure(
        "frames", "Displayed frames and stalls", text, figure, height=80 + 56 * len(names)
    )


def _decisions(cells: Sequence[Cell]) -> list[Figure]:
    text = (
        "Every answer applied, by the tier it came from; dotted: events of the agent. First repeat."
    )
    return [
        _figure(name, f"Decisions: {title}", text, figure)
        for name, title, figure in decisions.timelines(cells)
    ]


def _label(cell: Cell, flow: Flow) -> str:
    return cell.cc if len(cell.measured) == 1 else f"{cell.cc} flow {flow.flow}"
