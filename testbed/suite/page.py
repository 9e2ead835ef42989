"""The page of a suite: what was tested, how, with what outcome, and what was not; as HTML and as
Markdown.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from analysis.files import MANIFEST
from testbed.suite.beside import beside
from testbed.suite.definition import Suite
from testbed.suite.verdict import CaseResult, Line

MARKS = {
    "✔": "holds",
    "(✔)": "held in these runs",
    "(✘)": "broken in these runs",
    "✘": "fails",
    "–": "no data",
}
LEGEND = (
    "✔ holds, ✘ fails: the whole 95 % interval over the repeats says so. In brackets: so it was in "
    "the median of these runs, which are too few or too different to tell. – no data. A case has "
    "the worst mark of its expectations; beside it stands how many of them held."
)


def write_pages(
    suite: Suite, results: Sequence[CaseResult], failed: Mapping[str, str], command: str, out: Path
) -> None:
    """Write suite.html and suite.md into ``out``; a case may have results of several folders.
    ``failed``: case -> why it could not be run. Raises OSError.
    """
    context = _context(suite, results, failed, command, out)
    for template, name, escape in (
        ("page.html", "suite.html", True),
        ("page.md", "suite.md", False),
    ):
        text = resources.files("testbed.suite").joinpath(template).read_text(encoding="utf-8")
        environment = Environment(
            autoescape=escape,  # noqa: S701  # Markdown is read, not run
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        draft = out / f"{name}.tmp"
        draft.write_text(environment.from_string(text).render(context), encoding="utf-8")
        draft.replace(out / name)


def _context(
    suite: Suite, results: Sequence[CaseResult], failed: Mapping[str, str], command: str, out: Path
) -> dict[str, Any]:
    entries = beside(results)
    columns = list(dict.fromkeys(name for entry in entries for name in entry.lines))
    missing = [
        {"case": case, "reason": failed.get(case.name, "not asked for")}
        for case in suite.cases
        if not any(entry.case.name == case.name for entry in entries)
    ]
    counts = {
        column: {
            mark: sum(entry.mark(column) == mark for entry in entries if column in entry.lines)
            for mark in MARKS
        }
        for column in columns
    }
    days = sorted(path.stat().st_mtime for path in _manifests(results))
    return {
        "suite": suite,
        "columns": columns,
        "entries": entries,
        "missing": missing,
        "command": command,
        "legend": LEGEND,
        "kernels": " and ".join(dict.fromkeys(map(_kernel, results))),
        "days": " to ".join(dict.fromkeys(map(_day, (days[0], days[-1])))) if days else "",
        "ran": {column: sum(column in entry.lines for entry in entries) for column in columns},
        "relative": lambda folder: os.path.relpath(folder, out),
        "counts": counts,
        "marks": {
            mark: word
            for mark, word in MARKS.items()
            if any(found[mark] for found in counts.values())
        },
        "snapshots": ", ".join(
            dict.fromkeys(name for result in results for name in result.snapshots)
        ),
        "figure": figure,
        "link": lambda section: (
            f"{suite.head.url}#section-{section}" if section else suite.head.url
        ),
    }


def _manifests(results: Sequence[CaseResult]) -> list[Path]:
    return [result.folder / MANIFEST for result in results]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %B %Y")


def _kernel(result: CaseResult) -> str:
    time = "in virtual time" if result.how == "virtual" else "live"
    return f"Linux {result.environment.get('kernel', '?')} {time}"


def figure(line: Line) -> str:
    """The left side of an expectation in these runs."""
    left = line.judged.left
    return "–" if math.isnan(left) else f"{left:.3g}"
