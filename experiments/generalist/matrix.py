"""Matrices of the family that a small specialist was trained on by the family it is judged on."""

from __future__ import annotations

import numpy as np

from experiments.congestion.output import markdown
from experiments.generalist.families import ALL, FAMILIES, of_recording, of_trace
from experiments.generalist.judge import BETTER
from experiments.generalist.measured import LABELS, Floats, Runs, difference
from experiments.generalist.rows import TASKS

_PARTS = {"recorded": "cjs", "generated": "cjs-generated", "live": "cjs-live"}
RULES = {
    "congestion": ("persistence", "gcc", "bbr", "cubic"),
    "abr": ("policy", "robust-mpc", "bba"),
    "cjs": ("fair", "weighted-fair", "sjf", "fifo"),
}


def scores(runs: Runs, task: str, prefix: str, family: str) -> Floats | None:
    """Scores [seeds, units] in the closed loop of one family of units."""
    found = []
    for name, record in runs.items():
        part = _PARTS[family] if task == "cjs" else task
        if not name.startswith(prefix) or part not in record.get("closed", {}):
            continue
        units = record["closed"][part]["units"]
        if task != "cjs":
            of = of_trace if task == "congestion" else of_recording
            units = {unit: value for unit, value in units.items() if of(unit) == family}
        if units:
            found.append([units[unit] for unit in sorted(units)])
    return np.array(found) if found else None


def matrix(runs: Runs) -> str:
    """Scores, and beside them the difference to the family's own specialist in per cent with its
    interval; better is positive.
    """
    lines = []
    for task in TASKS:
        tested = [family for family in FAMILIES[task] if family != ALL]
        if not any(name.startswith(f"family-{task}-") for name in runs):
            continue
        home = {one: scores(runs, task, f"family-{task}-{one}/", one) for one in tested}
        trained = {one: f"family-{task}-{one}/" for one in FAMILIES[task]}
        trained |= {rule: f"{rule}/{task}" for rule in RULES[task]}
        for name, prefix in trained.items():
            cells = []
            for family in tested:
                table, own = scores(runs, task, prefix, family), home[family]
                if table is None:
                    cells.append("–")
                elif own is None or name == family:
                    cells.append(f"{table.mean():.3f}")
                else:
                    mean, low, high = difference(table, own, BETTER[task])
                    cells.append(f"{table.mean():.3f} ({mean:+.1f} [{low:+.1f}, {high:+.1f}])")
            if any(cell != "–" for cell in cells):
                lines.append([LABELS[task], name, *cells])
        heads = ", ".join(tested)
        lines.append([f"*judged on*: {heads}", "", *[""] * len(tested)])
    return markdown(["task", "trained on", "1", "2", "3"], lines)
