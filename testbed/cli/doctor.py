"""`tbtest doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from testbed.doctor import Finding, examine

_MARKS = {"ok": "[green]ok[/]", "limited": "[yellow]limited[/]", "missing": "[red]missing[/]"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do, what is missing, what that costs and how to get it.

    Exits with status 1 if the main job, `tbtest run --topology dumbbell`, cannot run.
    """
    findings = examine()
    blocked = [finding for finding in findings if finding.blocks]
    if as_json:
        rows = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"main_job": not blocked, "findings": rows}, indent=1))
    else:
        _show(findings, blocked)
    if blocked:
        sys.exit(1)


def _show(findings: list[Finding], blocked: list[Finding]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("", "state", "found"):
        table.add_column(column)
    for finding in findings:
        # An essential gap is red; one that only costs a feature is yellow.
        mark = (
            _MARKS[finding.state]
            if finding.essential or finding.state == "ok"
            else f"[yellow]{finding.state}[/]"
        )
        table.add_row(finding.name, mark, escape(finding.detail))
    console.print(table)
    for finding in findings:
        if finding.state != "ok":
            console.print(
                f"\n[bold]{finding.name}[/]: {escape(finding.cost)}.\n  {escape(finding.remedy)}"
            )
    if blocked:
        names = ", ".join(finding.name for finding in blocked)
        console.print(f"\n[red]`tbtest run` cannot run here[/]: {names}")
    else:
        console.print("\n`tbtest run` can run here.")
