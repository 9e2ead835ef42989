"""Tables of rows, closed loops, differences, learning rates and tokens, as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from experiments.congestion.output import markdown, number
from experiments.generalist.judge import BETTER
from experiments.generalist.measured import LABELS, Runs, by_unit, difference, seeds_of, table_of
from experiments.generalist.rows import ROWS, TASKS

GOOD_S = 54.0
"""Between the two completion times at which models of scheduling end."""


def rows_table(runs: Runs) -> str:
    """Losses of all rows on test samples, as shares of the best constant output's."""
    lines = []
    for row, about in (
        {name: one.about for name, one in ROWS.items()}
        | {"H": "A's adapters, merged without training"}
    ).items():
        cells = []
        for task in TASKS:
            found = [
                one["losses"]["test"][task]
                for one in seeds_of(runs, row, task).values()
                if "losses" in one
            ]
            cells.append(f"{np.mean(found):.3f} ± {np.std(found):.3f}" if found else "–")
        seeds = max(len(seeds_of(runs, row, task)) for task in TASKS)
        if seeds:
            parameters = sum(
                one["parameters"]
                for task in TASKS
                for one in list(seeds_of(runs, row, task).values())[:1]
                if "parameters" in one
            )
            if not ROWS.get(row, ROWS["A"]).alone:
                parameters //= len(TASKS)
            size = f"{parameters / 1e6:.2f} M" if parameters and row != "H" else "–"
            lines.append([f"{row}: {about}", seeds, size, *cells])
    heads = ["row", "seeds", "trained", *(LABELS[task] for task in TASKS)]
    return markdown(heads, lines)


def closed_table(runs: Runs) -> str:
    """Scores of the closed loops: means over seeds and units."""
    lines = []
    names = dict.fromkeys(one["row"] for one in runs.values() if one["kind"] == "reference")
    for row in (*ROWS, "H", *names):
        cells = []
        for task in TASKS:
            table = table_of(runs, row, task, closed=True)
            cells.append(
                "–" if table is None else f"{table.mean():.3f} ± {table.mean(axis=1).std():.3f}"
            )
        if any(cell != "–" for cell in cells):
            lines.append([row, *cells])
    return markdown(["row", *(LABELS[task] for task in TASKS)], lines)


def comparisons(runs: Runs, pairs: list[tuple[str, str]]) -> str:
    """Differences with intervals, in the closed loop and of the open-loop error."""
    lines = []
    for one, other in pairs:
        for task in TASKS:
            cells = []
            for closed in (True, False):
                tables = [table_of(runs, row, task, closed) for row in (one, other)]
                if tables[0] is None or tables[1] is None:
                    cells.append("–")
                    continue
                sign = BETTER[task] if closed else -1.0
                mean, low, high = difference(tables[0], tables[1], sign)
                cells.append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
            if cells != ["–", "–"]:
                lines.append([f"{one} less {other}", LABELS[task], *cells])
    return markdown(["rows", "task", "closed loop, %", "error on test samples, %"], lines)


def correlations(runs: Runs) -> str:
    """Spearman's correlation, over the rows' checkpoints, of test loss and score in the closed
    loop.
    """
    lines = []
    for task in TASKS:
        pairs = [
            (one["losses"]["test"][task], float(scores.mean()))
            for one in runs.values()
            if one["kind"] == "row" and task in one["tasks"] and "losses" in one
            if (scores := by_unit(one, task, closed=True)) is not None
        ]
        if len(pairs) > 2:
            losses, means = (pd.Series(side).rank() for side in zip(*pairs, strict=True))
            lines.append([LABELS[task], len(pairs), f"{losses.corr(means):+.2f}"])
    return markdown(["task", "checkpoints", "correlation"], lines)


def by_rate_table(runs: Runs) -> str:
    """In how many runs jobs take less than GOOD_S, by row and learning rate."""
    found: dict[tuple[str, float], list[bool]] = {}
    for one in runs.values():
        if one["kind"] == "row" and "cjs" in one["tasks"] and "rate" in one:
            scores = by_unit(one, "cjs", closed=True)
            if scores is not None:
                good = float(scores.mean()) < GOOD_S
                found.setdefault((one["row"], one["rate"]), []).append(good)
    lines = [
        [row, f"{rate:g}", len(good), sum(good)]
        for (row, rate), good in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    return markdown(["row", "rate", "runs", f"below {GOOD_S:g} s"], lines)


def rates_table(runs: Runs) -> str:
    """What searches for a learning rate found: the loss on validation samples, mean over tasks and
    seeds, and that of each task.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for record in runs.values():
        if record["kind"] == "rate" and "failed" not in record:
            label = record["name"].removeprefix("rate-").split("@")[0]
            row = label if "@" in record["name"] else record["row"]
            found.setdefault(row, {}).setdefault(f"{record['rate']:g}", []).append(record)
    rates = sorted({rate for one in found.values() for rate in one}, key=float)
    lines = [
        [row, *(_searched(one[rate]) if rate in one else "–" for rate in rates)]
        for row, one in found.items()
    ]
    return markdown(["row", *rates], lines)


def _searched(records: list[dict[str, Any]]) -> str:
    """The mean loss, and each task's at the same steps."""
    best = [
        next(point for point in one["curve"] if point["step"] == one["best_step"])
        for one in records
    ]
    tasks = [name for name in TASKS if name in best[0]]
    each = " ".join(f"{np.mean([one[name] for one in best]):.3f}" for name in tasks)
    mean = number(float(np.mean([one["best_loss"] for one in records])), 3)
    return f"{mean} ({each})" if len(tasks) > 1 else mean


def exchanged_table(runs: Runs) -> str:
    """Validation losses where each task has the next one's token, and where there is none."""
    lines = []
    for row in ("B", "G"):
        for label, key in (("own token", "validation"), ("the next task's", "exchanged")):
            cells = []
            for task in TASKS:
                records = seeds_of(runs, row, task).values()
                values = [
                    one["losses"]["validation"][task] if key == "validation" else one[key][task]
                    for one in records
                    if "exchanged" in one
                ]
                cells.append(f"{np.mean(values):.3f}" if values else "–")
            lines.append([f"{row}, {label}", *cells])
        cells = [
            f"{np.mean(x):.3f}"
            if (
                x := [
                    one["losses"]["validation"][task]
                    for one in seeds_of(runs, f"{row}-no-token", task).values()
                    if "losses" in one
                ]
            )
            else "–"
            for task in TASKS
        ]
        lines.append([f"{row}, trained without", *cells])
    return markdown(["", *(LABELS[task] for task in TASKS)], lines)
