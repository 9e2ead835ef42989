"""`tbtest clean`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from testbed.system.leftovers import clean as remove_leftovers


@click.command()
@click.option("--run", "run_id", metavar="ID", help="Only this run.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
def clean(run_id: str | None, as_json: bool) -> None:
    """Remove what dead runs left behind, and nothing else.

    A run that ends, fails or is interrupted removes everything itself. One that was killed (kill
    -9, out of memory) cannot: its state file in /run/tbtest lists its processes, temporary files
    and what it pinned in /sys/fs/bpf. Live runs are left alone.
    """
    report = remove_leftovers(run_id)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        for run in report.cleaned:
            click.echo(
                f"{run.run_id}: {len(run.processes)} processes, {len(run.paths)} paths removed"
            )
            for line in (*run.processes, *run.paths):
                click.echo(f"  {line}")
            for line in run.stuck:
                click.echo(f"  could not be removed, try again: {line}", err=True)
        for alive in report.alive:
            click.echo(f"{alive}: alive, left alone")
        for path in report.unreadable:
            click.echo(f"{path}: not a state file of this version, left alone", err=True)
        if not report.cleaned:
            click.echo("nothing to clean")
    if any(run.stuck for run in report.cleaned):
        sys.exit(1)
