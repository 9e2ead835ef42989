"""``tbtest run``: compare congestion controllers on one scenario."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from testbed.cli.expect import expect_options
from testbed.errors import UserError
from testbed.scenario import Scenario, parse_scenario, read_yaml, set_key

# Flag -> scenario key. None of them has a default here: what is not given keeps the scenario's.
_FLAG_KEYS = {
    "topology": "topology",
    "cc": "cc",
    "abr": "abr",
    "scheduler": "scheduler",
    "trace": "trace",
    "trace_start": "trace_start",
    "trace_format": "trace_format",
    "rate": "rate",
    "flow": "flow",
    "flows": "flows",
    "rtt": "rtt",
    "buffer": "buffer",
    "queue": "queue",
    "ecn": "ecn",
    "loss": "loss",
    "jitter": "jitter",
    "reorder": "reorder",
    "duplicate": "duplicate",
    "policer": "policer",
    "wifi": "wifi",
    "reverse": "reverse",
    "bidirectional": "bidirectional",
    "duration": "duration",
    "repeats": "repeats",
    "seed": "seed",
    "link_backend": "link_backend",
    "policy_server": "policy_server",
    "pcap": "pcap",
    "log_inputs": "log_inputs",
    "expect": "expect",
}
_PROGRAMS = ("sender", "receiver")  # keys of flow_options


def scenario_from(
    file: Path | None, flags: dict[str, Any], assignments: tuple[str, ...]
) -> Scenario:
    """The scenario that a file, flags and --set mean together; flags win over the file, --set over
    both.

    Raises UserError naming the source of a mistake.
    """
    data = read_yaml(file) if file else {}
    flags = dict(flags)
    programs = {role: line for role in _PROGRAMS if (line := flags.pop(role, None)) is not None}
    if flags.pop("ipv6", None):
        data["ip"] = 6
    given = {_FLAG_KEYS[name]: value for name, value in flags.items() if value is not None}
    if "rate" in given and "trace" not in given:
        data.pop("trace", None)
    if "trace" in given and "rate" not in given:
        data.pop("rate", None)
    data.update(given)
    if programs:
        data["flow_options"] = {**(data.get("flow_options") or {}), **programs}
        data.setdefault("flow", "command")
    for assignment in assignments:
        set_key(data, assignment)
    source = str(file) if file and not (given or programs or assignments) else "command line"
    return parse_scenario(data, source)


@click.command()
@click.argument(
    "scenario_file", metavar="[SCENARIO.yaml]", required=False, type=click.Path(path_type=Path)
)
@click.option(
    "--topology",
    metavar="NAME|FILE:CLASS",
    help="dumbbell (default), parking-lot, chain, star, two-paths, or your own.",
)
@click.option(
    "--cc",
    "--controllers",
    "--schemes",
    "cc",
    metavar="NAMES",
    help="Controllers to compare: bbr,policy:gcc,policy:./mine.py:Mine; see `tbtest policies`.",
)
@click.option(
    "--abr",
    metavar="NAMES",
    help="Who chooses a video's levels (--flow dash), to compare: policy,robust-mpc,bola.",
)
@click.option(
    "--scheduler",
    metavar="NAMES",
    help="Who schedules a cluster's jobs (--flow jobs), to compare: policy,fair,fifo,cap.",
)
@click.option(
    "--trace", metavar="FILE|NAME", help="Bottleneck capacity over time; see `tbtest traces list`."
)
@click.option(
    "--trace-format",
    metavar="FORMAT|FILE.py:CLASS",
    help="Format of the trace's file, or a class of your own, whose file is run; "
    "found by content if left out.",
)
@click.option(
    "--trace-start", metavar="TIME", help="Begin there in the trace: 90s, or random (seeded)."
)
@click.option(
    "--rate", metavar="RATE", help="Constant bottleneck capacity instead of a trace: 12mbit."
)
@click.option(
    "--flow",
    metavar="KIND",
    help="Measured traffic: video (default), bulk, onoff, web, dash, jobs, command, call, "
    "FILE.py:Class.",
)
@click.option(
    "--sender",
    metavar="COMMAND",
    help="Any program as the sender: 'iperf3 -c {receiver} -p {port} -t {duration}'.",
)
@click.option(
    "--receiver",
    metavar="COMMAND",
    help="The program at the other end: 'iperf3 -s -1 -p {port}'.",
)
@click.option(
    "--flows", type=int, metavar="N", help="Measured flows, one per host pair, same controller."
)
@click.option("--rtt", metavar="TIME", help="Propagation round trip, half each way: 40ms.")
@click.option(
    "--buffer",
    metavar="SIZE",
    help="Bottleneck queue limit: 8bdp (default; of the mean rate) or 60kB.",
)
@click.option(
    "--queue", metavar="KIND", help="droptail (default), codel, fq_codel, pie or dualpi2."
)
@click.option(
    "--ecn", is_flag=True, default=None, help="Hosts negotiate ECN; queues mark before they drop."
)
@click.option(
    "--loss",
    metavar="LOSS",
    help="Random loss behind the queue: 0.5%, or ge:1%,30% (Gilbert-Elliott).",
)
@click.option("--jitter", metavar="TIME", help="Extra random delay up to this, without reordering.")
@click.option(
    "--reorder", metavar="CHANCE,TIME", help="Hold packets back so that others overtake: 1%,5ms."
)
@click.option(
    "--wifi",
    metavar="TIME",
    help="A Wi-Fi hop behind the queue: aggregates, in order, whose access takes 7ms on average.",
)
@click.option(
    "--policer",
    metavar="RATE,BURST",
    help="Drop in front of the queue what exceeds them: 5mbit,50kB.",
)
@click.option("--duplicate", metavar="CHANCE", help="Packets that arrive twice: 0.1%.")
@click.option(
    "--reverse",
    metavar="RATE|TRACE|pair",
    help="Capacity for the ACKs' way; pair: the recording's name.up for its name.down.",
)
@click.option(
    "--bidirectional",
    is_flag=True,
    default=None,
    help="A second measured flow per pair, in the other direction.",
)
@click.option("--ipv6", is_flag=True, default=None, help="Hosts talk IPv6 instead of IPv4.")
@click.option("--duration", metavar="TIME", help="Length of each cell: 30s.")
@click.option(
    "--repeats", type=int, metavar="N", help="Cells per controller, each with its own seed."
)
@click.option("--seed", type=int, metavar="N", help="Seed of everything random.")
@click.option("--link-backend", metavar="NAME", help="auto (default), relay or tc.")
@click.option(
    "--policy-server", metavar="ADDR", help="Use this policy server instead of starting one."
)
@click.option(
    "--pcap", is_flag=True, default=None, help="Capture packets at both ends of the bottleneck."
)
@click.option(
    "--log-inputs",
    is_flag=True,
    default=None,
    help="Log each decision of the policy server with its input, for `tbtest explain`.",
)
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
