"""Curves of few-shot learning: tables and a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.congestion.output import markdown, new_figure, save_figure
from experiments.generalist.measured import LABELS, Floats, Runs
from experiments.generalist.rows import TASKS

CURVES = (
    ("B", "all"),
    ("B", "ends"),
    ("B", "scratch"),
    ("E", "all"),
    ("E", "scratch"),
    ("G", "all"),
    ("G", "ends"),
    ("G", "scratch"),
)


def few_points(
    runs: Runs, row: str, left: str, way: str, noise: bool = False
) -> dict[float, Floats]:
    """Test losses over seeds by share of the left task's samples."""
    found: dict[float, list[float]] = {}
    for name, record in runs.items():
        if name.startswith(f"few-{row}@{left}{'-noise' * noise}/"):
            for point in record["points"]:
                if point["way"] == way:
                    found.setdefault(point["share"], []).append(point["test"])
    return {share: np.array(found[share]) for share in sorted(found)}


def area(points: dict[float, Floats]) -> Floats:
    """Area under each seed's curve of the test loss over the log of the share, as a mean height."""
    shares = np.log(np.array(list(points)))
    values = np.stack(list(points.values()))
    heights = (values[1:] + values[:-1]) / 2
    areas: Floats = (heights * np.diff(shares)[:, None]).sum(axis=0) / (shares[-1] - shares[0])
    return areas


def few_table(runs: Runs) -> str:
    """Mean height of the few-shot curves; less is better."""
    lines = []
    for row, way in CURVES:
        for noise in (False, True):
            cells, seeds = [], 0
            for task in TASKS:
                points = few_points(runs, row, task, way, noise)
                if noise:
                    points = {
                        share: one for share, one in points.items() if share in (0.01, 0.1, 1.0)
                    }
                same = {len(one) for one in points.values()}
                if len(points) < 2 or len(same) != 1:
                    cells.append("–")
                    continue
                seeds = max(seeds, *same)
                heights = area(points)
                cells.append(f"{heights.mean():.3f} ± {heights.std():.3f}")
            if seeds:
                lines.append([f"{row}, {way}{', others noise' * noise}", seeds, *cells])
    return markdown(["row, what adapts", "seeds", *(LABELS[task] for task in TASKS)], lines)


def few_at(runs: Runs, shares: tuple[float, ...]) -> str:
    """Test losses of the curves at some shares."""
    lines = []
    for task in TASKS:
        for row, way in CURVES:
            points = few_points(runs, row, task, way)
            if points:
                lines.append(
                    [
                        LABELS[task],
                        f"{row}, {way}",
                        *(
                            f"{points[share].mean():.3f}" if share in points else "–"
                            for share in shares
                        ),
                    ]
                )
    return markdown(["left task", "row", *(f"{100 * share:g} %" for share in shares)], lines)


def few_figure(runs: Runs, file: Path) -> None:
    """The few-shot curves."""
    figure, axes = new_figure(3)
    styles = {"all": "-", "ends": "--", "scratch": ":"}
    colours = {"B": "C0", "E": "C1", "G": "C2"}
    for column, task in enumerate(TASKS):
        for row, way in CURVES:
            points = few_points(runs, row, task, way)
            if points:
                means = np.array([one.mean() for one in points.values()])
                axes[0][column].plot(
                    [100 * share for share in points],
                    means,
                    styles[way],
                    color=colours[row],
                    marker=".",
                    label=f"{row}, {way}",
                )
        axes[0][column].set(
            title=f"{LABELS[task]} left out", xlabel="% of its samples", xscale="log"
        )
    axes[0][0].set_ylabel("test loss / constant")
    axes[0][0].legend(ncols=2)
    save_figure(figure, file)
