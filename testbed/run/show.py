"""The report of a run folder, built and printed: the end of ``tbtest run`` and the whole of
``tbtest report``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from analysis.metrics.schema import Metrics
from analysis.report import Unwritten, build
from analysis.tables import summary_table

_SHOWN = 3  # warnings of a kind that are printed


def build_and_show(folder: Path, as_json: bool) -> None:
    """Write metrics.json and report.html, print the table or the JSON. Raises AnalysisError; where
    the folder cannot be written to, after printing.
    """
    try:
        metrics = build(folder)
    except Unwritten as error:
        _show(error.metrics, as_json)
        raise
    _show(metrics, as_json)
    if not as_json:
        Console().print(
            f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True, markup=False
        )


def _show(metrics: Metrics, as_json: bool) -> None:
    if as_json:
        click.echo(metrics.model_dump_json(indent=1))
        return
    console = Console()
    _print_warnings(console, metrics.warnings[: len(metrics.doubts)])
    console.print(summary_table(metrics))
    _print_warnings(console, metrics.warnings[len(metrics.doubts) :])


def _print_warnings(console: Console, warnings: Sequence[str]) -> None:
    for warning in _first_of_each_kind(warnings):
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)


def _first_of_each_kind(warnings: Sequence[str]) -> list[str]:
    """Of warnings that differ in their numbers alone (flows, cells, times) the first `_SHOWN`, then
    how many more there are; the report page and metrics.json have all.
    """
    kinds: dict[str, list[str]] = {}
    for warning in warnings:
        kinds.setdefault(re.sub(r"\d+(\.\d+)?", "#", warning), []).append(warning)
    shown = []
    for alike in kinds.values():
        shown += alike[:_SHOWN]
        if len(alike) > _SHOWN:
            shown.append(f"{len(alike) - _SHOWN} more like the last: see the report")
    return shown
