"""Clusters in the report: a row for each, paired ratios, a Gantt chart, and completion times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.metrics.schema import CellMetrics, Metrics
from analysis.run import Cell
from analysis.statistics import Interval, paired_difference_ci95

CHARTS = 8
"""Cells of the first repeat whose cluster is drawn."""
_BASELINE = "fair"
_FETCH, _LOST = "rgba(128,128,128,0.55)", "rgba(200,30,30,0.55)"
# By the number of the job, in turn; neighbours differ in lightness too.
_JOBS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B8A000")
_MOST_TASKS = 6_000


@dataclass(frozen=True)
class JctRatio:
    """Mean JCT of one scheduler over that of another, under the same controller: median over
    pairs.
    """

    cc: str
    scheduler: str
    baseline: str
    pairs: int
    ratio: float
    ci95: Interval | None


def clusters(metrics: Metrics) -> list[CellMetrics]:
    """The cells that executed jobs, by controller and scheduler, then repeat."""
    found = [cell for cell in metrics.cells if cell.jobs is not None]
    return sorted(found, key=lambda cell: (cell.cc, cell.repeat))


def jct_ratios(metrics: Metrics) -> list[JctRatio]:
    """Every scheduler against fair, or else the first by name, on the same cells.

    Cells of one repeat have the same seed, so that jobs, arrivals and network are the same.
    """
    jct: dict[str, dict[str, dict[int, float]]] = {}
    for cell in clusters(metrics):
        if cell.jobs is not None and cell.scheduler:
            controller = cell.cc.removesuffix(f" + {cell.scheduler}")
            by_scheduler = jct.setdefault(controller, {})
            by_scheduler.setdefault(cell.scheduler, {})[cell.repeat] = cell.jobs.jct_mean_s
    found = []
    for controller, by_scheduler in jct.items():
        baseline = _BASELINE if _BASELINE in by_scheduler else min(by_scheduler)
        for scheduler in sorted(by_scheduler):
            keys = sorted(by_scheduler[scheduler].keys() & by_scheduler[baseline].keys())
            if scheduler == baseline or not keys:
                continue
            # Medians and their intervals keep their meaning under logarithms.
            log, ci95 = paired_difference_ci95(
                [float(np.log(by_scheduler[scheduler][key])) for key in keys],
                [float(np.log(by_scheduler[baseline][key])) for key in keys],
            )
            interval = None if ci95 is None else (float(np.exp(ci95[0])), float(np.exp(ci95[1])))
            ratio = float(np.exp(log))
            found.append(JctRatio(controller, scheduler, baseline, len(keys), ratio, interval))
    return found


def completion_cdf(cells: Sequence[Cell], colours: dict[str, str]) -> go.Figure | None:
    """Share of jobs that are done after so many seconds; jobs that were not done keep it below
    1.
    """
    figure, any_jobs = go.Figure(), False
    for cc in sorted(colours):
        logs = [(cell, cell.log("jobs")) for cell in cells if cell.cc == cc]
        jobs = [log for _, log in logs if len(log)]
        if not jobs:
            continue
        any_jobs = True
        own = pd.concat(jobs)
        done = own[own["done_ns"].notna()]
        jct_ns = done["done_ns"].to_numpy(np.float64) - done["arrival_ns"].to_numpy(np.float64)
        figure.add_scatter(
            x=np.concatenate([[0.0], np.sort(jct_ns) / 1e9]).round(3),
            y=np.round(np.arange(len(done) + 1) / len(own), 4),
            name=cc,
            mode="lines",
            line={"width": 2, "color": colours[cc], "shape": "hv"},
        )
    figure.update_xaxes(title="s", rangemode="tozero")
    figure.update_yaxes(title="share of jobs", range=[0, 1.02])
    return figure if any_jobs else None


def gantt_charts(cells: Sequence[Cell]) -> list[tuple[str, str, go.Figure, int]]:
    """(name, title, figure, height) for each cluster of these cells, at most CHARTS."""
    found: list[tuple[str, str, go.Figure, int]] = []
    for cell in cells:
        tasks = cell.log("tasks")
        if not len(tasks) or len(found) == CHARTS:
            continue
        figure, rows = _gantt(cell, tasks.head(_MOST_TASKS))
        found.append((f"cluster-{cell.folder.name}", cell.cc, figure, 90 + 18 * rows))
    return found


def _gantt(cell: Cell, tasks: pd.DataFrame) -> tuple[go.Figure, int]:
    names = _hosts(cell)
    order = sorted({(int(w), int(s)) for w, s in zip(tasks["worker"], tasks["slot"], strict=True)})
    row_of = {place: row for row, place in enumerate(order)}
    rows = np.array(
        [row_of[int(w), int(s)] for w, s in zip(tasks["worker"], tasks["slot"], strict=True)]
    )
    seconds = {
        name: (tasks[f"{name}_ns"].to_numpy(np.float64) - cell.start_ns) / 1e9
        for name in ("start", "fetched", "end")
    }
    job, lost = tasks["job"].to_numpy(), tasks["lost"].to_numpy(bool)
    figure = go.Figure()

    def bars(chosen: np.ndarray, begin: str, end: str, colour: str, title: str) -> None:
        if not chosen.any():
            return
        own = tasks[chosen]
        words = [
            f"job {job}, stage {stage}<br>{size / 1e3:.0f} kB fetched"
            for job, stage, size in zip(
                own["job"].tolist(), own["stage"].tolist(), own["remote_bytes"].tolist(),
                strict=True,
            )
        ]  # fmt: skip
        figure.add_bar(
            base=seconds[begin][chosen].round(3),
            x=(seconds[end] - seconds[begin])[chosen].round(3),
            y=rows[chosen],
            orientation="h",
            width=0.8,
            marker={"color": colour, "line": {"width": 0}},
            text=words,
            textposition="none",
            hovertemplate="%{text}<br>%{base:.2f} s + %{x:.2f} s<extra></extra>",
            name=title,
            showlegend=bool(title),
        )

    for at, colour in enumerate(_JOBS):
        bars((job % len(_JOBS) == at) & ~lost, "fetched", "end", colour, "")
    bars((seconds["fetched"] > seconds["start"]) & ~lost, "start", "fetched", _FETCH, "transfers")
    bars(lost, "start", "end", _LOST, "lost with their worker")
    for before, (row, place) in zip(order, list(enumerate(order))[1:], strict=False):
        if place[0] != before[0]:
            figure.add_hline(y=row - 0.5, line={"width": 0.5, "color": "rgba(128,128,128,0.5)"})
    figure.update_yaxes(
        tickvals=[row for row, (_, slot) in enumerate(order) if slot == 0],
        ticktext=[names.get(worker, str(worker)) for worker, slot in order if slot == 0],
        range=[len(order) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title="s", rangemode="tozero")
    figure.update_layout(barmode="overlay")
    return figure, len(order)


def _hosts(cell: Cell) -> dict[int, str]:
    """Worker -> its host: receivers by the number of their flow, senders behind them."""
    flows = cell.measured
    return {flow.flow: flow.receiver for flow in flows} | {
        len(flows) + flow.flow: flow.sender for flow in flows
    }
