"""``tbtest diagnose``: what went wrong in a run. No root needed."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
def diagnose(run: Path, as_json: bool) -> None:
    """Name what went wrong in the run folder RUN, with evidence and remedy.

    Each flow is cut into windows of 100 ms. A window is bad where the picture stalls, a queue of
    more than 100 ms stands, or a third of the link lies idle. Every bad window is blamed on one
    cause; causes are listed by their share of the flow's time, faults of the measurement first.
    """
    from analysis.diagnosis import diagnose as name_causes
    from analysis.run import load_run

    diagnosis = name_causes(load_run(run))
    if as_json:
        click.echo(diagnosis.model_dump_json(indent=1))
        return
    console = Console(soft_wrap=True, highlight=False)
    if not diagnosis.findings:
        console.print(f"nothing to name: {diagnosis.bad_share:.1%} of the windows were bad")
        return
    for finding in diagnosis.findings:
        where = f"{finding.cell}, flow {finding.flow}" if finding.cell else "the whole run"
        console.print(
            f"[bold]{escape(finding.cause)}[/]  {escape(where)}: {finding.share:.1%} of its time, "
            f"{finding.stalled_s:.1f} s of stalls, from {finding.first_s:.1f} s on, longest at "
            f"{finding.worst_s:.1f} s"
        )
        console.print(f"    {escape(finding.evidence)}")
        console.print(f"    remedy: {escape(finding.remedy)}")
    for stall in diagnosis.stalls:
        capacity = "" if stall.capacity_mbps is None else f" of {stall.capacity_mbps:.2f}"
        asked = "" if stall.asked_mbps is None else f", asked for {stall.asked_mbps:.2f}"
        console.print(
            f"worst stall: {stall.length_s:.1f} s at {stall.start_s:.1f} s in "
            f"{escape(stall.cell)}: {escape(stall.cause)}; delivered "
            f"{stall.delivered_mbps:.2f}{capacity} Mbit/s{asked}, "
            f"queue up to {stall.queue_ms:.0f} ms"
        )
