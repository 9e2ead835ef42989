"""``tbtest run``: compare congestion controllers on one scenario."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from testbed.cli.expect import expect_options
from testbed.cli.scenario_flags import scenario_from, with_scenario_flags
from testbed.errors import UserError


@click.command()
@click.argument(
    "scenario_file", metavar="[SCENARIO.yaml]", required=False, type=click.Path(path_type=Path)
)
@with_scenario_flags
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any scenario key; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run folder; default runs/<utc>-<id>.",
)
@expect_options
@click.option(
    "--print-scenario", is_flag=True, help="Print the YAML that the flags mean, and stop."
)
@click.option(
    "--hold",
    "keep",
    is_flag=True,
    help="Keep the network after the traffic, for `tbtest shell`, until Enter or Ctrl-C.",
)
@click.option(
    "--virtual",
    is_flag=True,
    help="In virtual time: a Linux guest whose clock skips ahead. Exact, repeatable, without root.",
)
@click.option(
    "--kernel-source",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --virtual: build the guest's kernel from here, not from Debian's package.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Show every flow ten times a second: rate, queueing delay, who decides.",
)
@click.option("--dry-run", is_flag=True, help="List what would be created, and stop.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the metrics as JSON instead of tables and progress.",
)
def run(
    scenario_file: Path | None,
    assignments: tuple[str, ...],
    out: Path | None,
    expect: tuple[str, ...],
    junit: Path | None,
    summary: Path | None,
    print_scenario: bool,
    keep: bool,
    virtual: bool,
    kernel_source: Path | None,
    live: bool,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compare congestion controllers on one scenario.

    Each controller runs in fresh namespaces on the same trace with the same seeds, in random order;
    the run folder then holds every log, metrics.json and report.html. Needs root, or
    --virtual.

    \b
        tbtest run --topology dumbbell
        tbtest run --cc bbr,cubic --trace lte-walking --flow bulk --rtt 60ms --buffer 4bdp
        tbtest run --rate 12mbit --loss ge:1%,30% --print-scenario > lossy.yaml
        tbtest run lossy.yaml
    """
    scenario = scenario_from(scenario_file, {**flags, "expect": expect or None}, assignments)
    if print_scenario:
        click.echo(scenario.to_yaml(), nl=False)
        return
    from testbed.run.runner import describe, execute

    if dry_run:
        plan = describe(scenario)
        click.echo(json.dumps(plan, indent=1) if as_json else _plan_text(plan))
        return
    if virtual:
        from testbed.virtual import run as virtual_time

        if keep:
            raise UserError("--hold: a guest's network cannot be entered; leave out --virtual")
        folder = virtual_time.execute(
            scenario, out=out, as_json=as_json, kernel_source=kernel_source
        )
    elif kernel_source is not None:
        raise UserError("--kernel-source: a live run uses this machine's kernel; add --virtual")
    else:
        folder = execute(scenario, out=out, as_json=as_json, keep=keep, live=live)
    if scenario.expect:
        from testbed.run.verdict import judge_and_tell

        sys.exit(judge_and_tell(scenario.expect, folder, junit_path=junit, summary_path=summary))


def _plan_text(plan: dict[str, Any]) -> str:
    lines = [f"{key}: {value}" for key, value in plan.items() if not isinstance(value, list)]
    for key, values in plan.items():
        if isinstance(values, list) and values:
            lines += [f"{key}:", *(f"  {value}" for value in values)]
    return "\n".join(lines)
