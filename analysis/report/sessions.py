"""Streaming sessions in the report: a row for each, paired differences, and timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.metrics import throughput
from analysis.metrics.schema import CellMetrics, Metrics
from analysis.run import Cell
from analysis.statistics import Interval, paired_difference_ci95

TIMELINES = 12
"""Sessions of the first repeat that are drawn."""
_BASELINE = "robust-mpc"
_CAPACITY, _STALL = "rgba(128,128,128,0.35)", "rgba(200,30,30,0.25)"


@dataclass(frozen=True)
class Pairing:
    """QoE of one chooser of levels less that of another, under the same controller."""

    cc: str
    abr: str
    baseline: str
    pairs: int
    difference: float
    ci95: Interval | None


def sessions(metrics: Metrics) -> list[CellMetrics]:
    """The flows that streamed, by controller, then repeat."""
    found = [cell for cell in metrics.cells if cell.dash is not None]
    return sorted(found, key=lambda cell: (cell.cc, cell.repeat, cell.flow))


def pairings(metrics: Metrics) -> list[Pairing]:
    """Every chooser of levels against robust-mpc, or else the first by name, on the same cells.

    Cells of one repeat have the same seed, so that network and start times are the same.
    """
    qoe: dict[str, dict[str, dict[tuple[int, int], float]]] = {}
    for cell in sessions(metrics):
        if cell.dash is not None and cell.dash.qoe is not None and cell.abr:
            controller = cell.cc.removesuffix(f" + {cell.abr}")
            by_abr = qoe.setdefault(controller, {})
            by_abr.setdefault(cell.abr, {})[cell.repeat, cell.flow] = cell.dash.qoe
    found = []
    for controller, by_abr in qoe.items():
        baseline = _BASELINE if _BASELINE in by_abr else min(by_abr)
        for abr in sorted(by_abr):
            keys = sorted(by_abr[abr].keys() & by_abr[baseline].keys())
            if abr == baseline or not keys:
                continue
            difference, ci95 = paired_difference_ci95(
                [by_abr[abr][key] for key in keys], [by_abr[baseline][key] for key in keys]
            )
            found.append(Pairing(controller, abr, baseline, len(keys), difference, ci95))
    return found


def timelines(cells: Sequence[Cell], colours: dict[str, str]) -> list[tuple[str, str, go.Figure]]:
    """(name, title, figure) for each session of these cells, at most TIMELINES."""
    found: list[tuple[str, str, go.Figure]] = []
    for cell in cells:
        for flow in cell.measured:
            if flow.kind != "dash" or len(found) == TIMELINES:
                continue
            title = cell.cc if len(cell.measured) == 1 else f"{cell.cc} flow {flow.flow}"
            figure = _timeline(cell, flow.flow, colours[cell.cc])
            if figure is not None:
                found.append((f"session-{cell.folder.name}-{flow.flow}", title, figure))
    return found


def _timeline(cell: Cell, number: int, colour: str) -> go.Figure | None:
    chunks = cell.log("chunks")
    rows = chunks[chunks["flow"] == number].sort_values("chunk") if len(chunks) else chunks
    if not len(rows):
        return None
    flow = next(flow for flow in cell.measured if flow.flow == number)
    last_s = ((rows["last_byte_ns"] - cell.start_ns) / 1e9).to_numpy()
    request_s = ((rows["request_ns"] - cell.start_ns) / 1e9).to_numpy()
    buffer_s, stall_s = rows["buffer_s"].to_numpy(), rows["rebuffer_s"].to_numpy()
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    line = {"width": 2, "color": colour}
    # The buffer falls by a second a second and rises by a chunk when one arrives.
    chunk_s = _chunk_s(cell, number)
    before = np.maximum(buffer_s - chunk_s, 0)
    empty_s = last_s - stall_s
    times = np.stack([empty_s, last_s, last_s], axis=1).ravel()
    levels = np.stack([before, before, buffer_s], axis=1).ravel()
    end_s = min((flow.stop_ns - cell.start_ns) / 1e9, last_s[-1] + buffer_s[-1])
    times = np.append(times, end_s)
    levels = np.append(levels, buffer_s[-1] - (end_s - last_s[-1]))
    figure.add_scatter(x=times.round(2), y=levels.round(2), mode="lines", line=line, row=1, col=1)
    figure.add_scatter(
        x=np.append(request_s, last_s[-1]).round(2),
        y=np.append(rows["bitrate_kbps"], rows["bitrate_kbps"].iloc[-1]) / 1000,
        mode="lines",
        line={**line, "shape": "hv"},
        text=[*(f"chunk {chunk}: {source}" for chunk, source in
                zip(rows["chunk"], rows["source"], strict=True)), ""],
        row=2,
        col=1,
    )  # fmt: skip
    if cell.bottleneck_trace(flow) is not None:
        capacity = throughput.capacity_bps(cell, flow)
        seconds = np.arange(len(capacity)) * throughput.WINDOW_NS / 1e9
        figure.add_scatter(
            x=seconds, y=np.round(capacity / 1e6, 3), mode="lines", fill="tozeroy",
            line={"width": 0, "shape": "hv"}, fillcolor=_CAPACITY, row=3, col=1,
        )  # fmt: skip
    figure.add_scatter(
        x=np.stack([request_s, last_s, np.full(len(last_s), np.nan)], axis=1).ravel().round(2),
        y=np.repeat(rows["throughput_bps"].to_numpy() / 1e6, 3).round(3),
        mode="lines",
        line=line,
        row=3,
        col=1,
    )
    stalled = zip(empty_s[stall_s > 0].tolist(), stall_s[stall_s > 0].tolist(), strict=True)
    bands(figure, [(begin, begin + stall) for begin, stall in stalled])
    for row, title in ((1, "buffer, s"), (2, "level"), (3, "throughput")):
        figure.update_yaxes(title=title, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title="s", row=3, col=1)
    figure.update_layout(showlegend=False)
    return figure


def bands(figure: go.Figure, spans_s: Sequence[tuple[float, float]]) -> None:
    """Shade each span (begin, end) in all three rows. All at once: `add_vrect` looks at every shape
    that is there, which takes over a minute for a hundred.
    """
    look = {"type": "rect", "y0": 0, "y1": 1, "fillcolor": _STALL, "line": {"width": 0}}
    figure.update_layout(
        shapes=[
            {"x0": begin, "x1": end, "xref": f"x{axis}", "yref": f"y{axis} domain", **look}
            for begin, end in spans_s
            for axis in ("", 2, 3)
        ]
    )


def _chunk_s(cell: Cell, number: int) -> float:
    sessions = cell.log("sessions")
    return float(sessions[sessions["flow"] == number]["chunk_s"].iloc[0]) if len(sessions) else 0.0
