"""The page of a suite: what was tested, how, with what outcome, and what was not; as HTML and as
Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from testbed.suite.definition import Suite
from testbed.suite.verdict import CaseResult, Line

LEGEND = (
    "✔ holds, ✘ fails: the whole 95 % interval over the repeats says so. In brackets: so it was in "
    "the median of these runs, which are too few or too different to tell. – no data."
)


def write_pages(
    suite: Suite, results: Sequence[CaseResult], failed: Mapping[str, str], command: str, out: Path
) -> None:
    """Write suite.html and suite.md into ``out``. ``failed``: case -> why it could not be run.
    Raises OSError.
    """
    context = _context(suite, results, failed, command)
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
    suite: Suite, results: Sequence[CaseResult], failed: Mapping[str, str], command: str
) -> dict[str, Any]:
    controllers = list(dict.fromkeys(name for result in results for name in result.lines))
    missing = [
        {"case": case, "reason": failed.get(case.name, "not asked for")}
        for case in suite.cases
        if not any(result.case.name == case.name for result in results)
    ]
    first = results[0] if results else None
    return {
        "suite": suite,
        "controllers": controllers,
        "results": results,
        "missing": missing,
        "command": command,
        "legend": LEGEND,
        "environment": first.environment if first else {},
        "kernel": first.environment.get("kernel", "") if first else "",
        "counts": {
            controller: {
                mark: sum(result.mark(controller) == mark for result in results)
                for mark in ("✔", "(✔)", "(✘)", "✘", "–")
            }
            for controller in controllers
        },
        "figure": figure,
        "link": lambda section: (
            f"{suite.head.url}#section-{section}" if section else suite.head.url
        ),
    }


def figure(line: Line) -> str:
    """The left side of an expectation in these runs."""
    return "–" if math.isnan(line.left) else f"{line.left:.3g}"
