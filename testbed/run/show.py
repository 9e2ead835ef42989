"""The report of a run folder, built and printed: the end of ``tbtest run`` and the whole of
``tbtest report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from analysis.report import build
from analysis.tables import summary_table


def build_and_show(folder: Path, as_json: bool) -> None:
    """Write metrics.json and report.html, print the table or the JSON. Raises AnalysisError."""
    metrics = build(folder)
    if as_json:
        click.echo(metrics.model_dump_json(indent=1))
        return
    console = Console()
    _print_warnings(console, metrics.warnings[: len(metrics.doubts)])
    console.print(summary_table(metrics))
    _print_warnings(console, metrics.warnings[len(metrics.doubts) :])
    console.print(
        f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True, markup=False
    )


def _print_warnings(console: Console, warnings: Sequence[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)
