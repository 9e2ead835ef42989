"""stress.json, stress.md, stress.html, and the table in a terminal, from the rows of done cells."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from analysis.statistics import median_ci95
from analysis.stress.against import against, collapses
from analysis.stress.verdict import OF_SERVER, RULES, judge

SCHEMA = 1
COLUMNS = (
    ("utilisation_during", "utilisation during %", 100.0, 0),
    ("utilisation_after", "after %", 100.0, 0),
    ("stalled_during", "stalled during %", 100.0, 0),
    ("stalled_after", "after %", 100.0, 0),
    ("on_time_during", "on time during %", 100.0, 0),
    ("on_time_after", "after %", 100.0, 0),
    ("recovery_s", "recovery s", 1.0, 1),
    ("flows_lost", "flows lost", 1.0, 0),
    ("deadline_miss_during", "deadline misses during %", 100.0, 1),
    ("deadline_miss_after", "after %", 100.0, 1),
)
"""Column of a row, title, factor to the shown value, digits."""
_NEVER = {"recovery_s"}
"""Columns in which a row without a value is worse than any with one."""


def build(
    out: Path, rows: Sequence[dict[str, Any]], grid: dict[str, Any], command: str, planned: int
) -> list[dict[str, Any]]:
    """Write the three files into ``out``; returns the rows with their verdicts. Raises OSError."""
    judged = judge(rows)
    record = {"schema": SCHEMA, "command": command, "grid": grid, "rules": RULES, "rows": judged}
    context = {
        "rules": RULES,
        "command": command,
        "grid": grid,
        "done": len(judged),
        "planned": planned,
        "titles": ["failures", "controller", "seeds", *(title for _, title, _, _ in COLUMNS)],
        "lines": lines(judged),
        "collapses": collapses(judged),
        "against": against(judged),
        "killed": any(set(row["failures"].split("+")) & OF_SERVER for row in judged),
        "reasons": [row for row in judged if row["collapse"]],
        "warned": [row for row in judged if row["warnings"]],
    }
    files = {"stress.json": json.dumps(record, indent=1, allow_nan=False) + "\n"}
    for template, name in (("page.html", "stress.html"), ("page.md", "stress.md")):
        text = resources.files("analysis.stress").joinpath(template).read_text(encoding="utf-8")
        environment = Environment(
            autoescape=template.endswith(".html"),  # Markdown is read, not run
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        files[name] = environment.from_string(text).render(context)
    for name, content in files.items():
        draft = out / f"{name}.tmp"
        draft.write_text(content, encoding="utf-8")
        draft.replace(out / name)
    return judged


def lines(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each set of failures and controller: `cells`, medians over seeds as text, with
    their 95 % intervals where there are seeds enough (`analysis.statistics`); `medians`, the same
    without; and the verdict: graceful, collapse, or collapse in some seeds.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in judged:
        groups.setdefault((row["failures"], row["cc"]), []).append(row)
    found = []
    for (failures, cc), rows in groups.items():
        collapsed = sum(row["collapse"] for row in rows)
        verdict = "graceful" if not collapsed else "collapse"
        if 0 < collapsed < len(rows):
            verdict = f"collapse in {collapsed} of {len(rows)}"
        shown = [_shown(key, rows, factor, digits) for key, _, factor, digits in COLUMNS]
        found.append(
            {
                "failures": failures,
                "cc": cc,
                "seeds": len(rows),
                "cells": [median + interval for median, interval in shown],
                "medians": [median for median, _ in shown],
                "verdict": verdict,
            }
        )
    return found


def _shown(key: str, rows: Sequence[dict[str, Any]], factor: float, digits: int) -> tuple[str, str]:
    """The median and its interval, as text. – is no value: in the recovery a flow that does not
    recover, elsewhere something that the controller does not have.
    """
    values = [row[key] for row in rows]
    if key not in _NEVER and None in values:
        return "–", ""
    median, interval = median_ci95([math.inf if value is None else value for value in values])

    def number(value: float) -> str:
        return f"{factor * value:.{digits}f}" if math.isfinite(value) else "–"

    if interval is None:
        return number(median), ""
    return number(median), f" [{number(interval[0])}, {number(interval[1])}]"


def text(judged: Sequence[dict[str, Any]]) -> str:
    """The table of medians for a terminal, and why who collapsed."""
    shown = [
        f"{'failures':38} {'controller':12} {'util during/after %':>20} {'stalled %':>10} "
        f"{'on time %':>10} {'recovery s':>10}  verdict"
    ]
    for line in lines(judged):
        c = line["medians"]
        shown.append(
            f"{line['failures']:38} {line['cc']:12} {c[0] + ' / ' + c[1]:>20} "
            f"{c[2] + '/' + c[3]:>10} {c[4] + '/' + c[5]:>10} {c[6]:>10}  {line['verdict']}"
        )
    shown += [
        f"collapse: {row['failures']}, {row['cc']}, seed {row['seed']}: {'; '.join(row['reasons'])}"
        for row in judged
        if row["collapse"]
    ]
    return "\n".join(shown)
