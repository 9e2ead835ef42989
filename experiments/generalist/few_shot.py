"""Curves of few-shot learning: tables and a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.congestion.output import markdown, new_figure, save_figure
from experiments.generalist.judge import BETTER
from experiments.generalist.measured import LABELS, Floats, Runs, difference
from experiments.generalist.rows import TASKS

CURVES = (
    ("B", "all"),
    ("B", "ends"),
    ("B", "scratch"),
    ("E", "all"),
    ("E", "ends"),
    ("E", "scratch"),
    ("G", "all"),
    ("G", "ends"),
    ("G", "scratch"),
)
NOISE_SHARES = (0.01, 0.03, 0.1)
"""At which curves whose other tasks are noise were measured."""


def few_points(
    runs: Runs, row: str, left: str, way: str, noise: bool = False
) -> dict[float, Floats]:
    """Test losses over seeds by share of the left task's samples."""
    found: dict[float, list[float]] = {}
    for name, record in runs.items():
        if name.startswith(f"few-{row}@{left}{'-noise' * noise}/"):
            for point in record["points"]:
                if point["way"] == way and "test" in point:
                    found.setdefault(point["share"], []).append(point["test"])
    return {share: np.array(found[share]) for share in sorted(found)}


def area(points: dict[float, Floats]) -> Floats:
    """Area under each seed's curve of the test loss over the log of the share, as a mean height."""
    shares = np.log(np.array(list(points)))
    values = np.stack(list(points.values()))
    heights = (values[1:] + values[:-1]) / 2
    areas: Floats = (heights * np.diff(shares)[:, None]).sum(axis=0) / (shares[-1] - shares[0])
    return areas


def few_table(runs: Runs, heights_at: tuple[float, ...] | None = None) -> str:
    """Mean height of the few-shot curves, of some shares; less is better."""
    lines = []
    for row, way in CURVES:
        for noise in (False, True):
            cells, seeds = [], 0
            for task in TASKS:
                points = few_points(runs, row, task, way, noise)
                if noise or heights_at is not None:
                    kept = heights_at or NOISE_SHARES
                    points = {share: one for share, one in points.items() if share in kept}
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


def few_scores(runs: Runs, row: str, left: str, way: str) -> dict[float, Floats]:
    """Scores of the closed loop [seeds, units] by share of the left task's samples."""
    found: dict[float, list[list[float]]] = {}
    for name, record in runs.items():
        if name.startswith(f"few-{row}@{left}/"):
            for point in record["points"]:
                if point["way"] == way and "closed" in point:
                    scores = point["closed"]
                    values = [scores[unit] for unit in sorted(scores)]
                    found.setdefault(point["share"], []).append(values)
    return {share: np.array(found[share]) for share in sorted(found)}


def few_closed(runs: Runs, shares: tuple[float, ...]) -> str:
    """Scores in the closed loop, and at 3 % how far behind all samples, in per cent."""
    lines = []
    for task in TASKS:
        for row, way in CURVES:
            scores = few_scores(runs, row, task, way)
            if not scores:
                continue
            cells = [
                f"{scores[share].mean():.3f} ± {scores[share].mean(axis=1).std():.3f}"
                if share in scores
                else "–"
                for share in shares
            ]
            behind = "–"
            if 0.03 in scores and 1.0 in scores:
                mean, low, high = difference(scores[0.03], scores[1.0], BETTER[task])
                behind = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
            lines.append([LABELS[task], f"{row}, {way}", *cells, behind])
    heads = [f"{100 * share:g} %" for share in shares]
    return markdown(["left task", "row", *heads, "3 % less 100 %, %"], lines)


def few_figure(runs: Runs, file: Path) -> None:
    """The few-shot curves."""
    figure, axes = new_figure(3, 2)
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
            scores = few_scores(runs, row, task, way)
            if scores:
                axes[1][column].plot(
                    [100 * share for share in scores],
                    [one.mean() for one in scores.values()],
                    styles[way],
                    color=colours[row],
                    marker=".",
                )
        axes[0][column].set(title=f"{LABELS[task]} left out", xscale="log")
        axes[1][column].set(xlabel="% of its samples", xscale="log")
    axes[0][0].set_ylabel("test loss / constant")
    axes[1][0].set_ylabel("score in the closed loop")
    axes[0][0].legend(ncols=2)
    save_figure(figure, file)
