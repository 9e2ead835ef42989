"""The flags that mean keys of a scenario, and the scenario that they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from testbed.mappings import read_yaml, set_key
from testbed.scenario import Scenario, parse_scenario

Command = TypeVar("Command", bound=Callable[..., Any])

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


_OPTIONS = (
    click.option(
        "--topology",
        metavar="NAME|FILE:CLASS",
        help="dumbbell (default), parking-lot, chain, star, two-paths, or your own.",
    ),
    click.option(
        "--cc",
        "--controllers",
        "--schemes",
        "cc",
        metavar="NAMES",
        help="Controllers to compare: bbr,policy:gcc,policy:./mine.py:Mine; see `tbtest policies`.",
    ),
    click.option(
        "--abr",
        metavar="NAMES",
        help="Who chooses a video's levels (--flow dash), to compare: policy,robust-mpc,bola.",
    ),
    click.option(
        "--scheduler",
        metavar="NAMES",
        help="Who schedules a cluster's jobs (--flow jobs), to compare: policy,fair,fifo,cap.",
    ),
    click.option(
        "--trace",
        metavar="FILE|NAME",
        help="Bottleneck capacity over time; see `tbtest traces list`.",
    ),
    click.option(
        "--trace-format",
        metavar="FORMAT|FILE.py:CLASS",
        help="Format of the trace's file, or a class of your own, whose file is run; "
        "found by content if left out.",
    ),
    click.option(
        "--trace-start", metavar="TIME", help="Begin there in the trace: 90s, or random (seeded)."
    ),
    click.option(
        "--rate", metavar="RATE", help="Constant bottleneck capacity instead of a trace: 12mbit."
    ),
    click.option(
        "--flow",
        metavar="KIND",
        help="Measured traffic: video (default), bulk, onoff, web, dash, jobs, command, call, "
        "FILE.py:Class.",
    ),
    click.option(
        "--sender",
        metavar="COMMAND",
        help="Any program as the sender: 'iperf3 -c {receiver} -p {port} -t {duration}'.",
    ),
    click.option(
        "--receiver",
        metavar="COMMAND",
        help="The program at the other end: 'iperf3 -s -1 -p {port}'.",
    ),
    click.option(
        "--flows", type=int, metavar="N", help="Measured flows, one per host pair, same controller."
    ),
    click.option("--rtt", metavar="TIME", help="Propagation round trip, half each way: 40ms."),
    click.option(
        "--buffer",
        metavar="SIZE",
        help="Bottleneck queue limit: 8bdp (default; of the mean rate) or 60kB.",
    ),
    click.option(
        "--queue", metavar="KIND", help="droptail (default), codel, fq_codel, pie or dualpi2."
    ),
    click.option(
        "--ecn",
        is_flag=True,
        default=None,
        help="Hosts negotiate ECN; queues mark before they drop.",
    ),
    click.option(
        "--loss",
        metavar="LOSS",
        help="Random loss behind the queue: 0.5%, or ge:1%,30% (Gilbert-Elliott).",
    ),
    click.option(
        "--jitter", metavar="TIME", help="Extra random delay up to this, without reordering."
    ),
    click.option(
        "--reorder",
        metavar="CHANCE,TIME",
        help="Hold packets back so that others overtake: 1%,5ms.",
    ),
    click.option(
        "--wifi",
        metavar="TIME",
        help="A Wi-Fi hop behind the queue: aggregates, in order, whose access takes 7ms on "
        "average.",
    ),
    click.option(
        "--policer",
        metavar="RATE,BURST",
        help="Drop in front of the queue what exceeds them: 5mbit,50kB.",
    ),
    click.option("--duplicate", metavar="CHANCE", help="Packets that arrive twice: 0.1%."),
    click.option(
        "--reverse",
        metavar="RATE|TRACE|pair",
        help="Capacity for the ACKs' way; pair: the recording's name.up for its name.down.",
    ),
    click.option(
        "--bidirectional",
        is_flag=True,
        default=None,
        help="A second measured flow per pair, in the other direction.",
    ),
    click.option("--ipv6", is_flag=True, default=None, help="Hosts talk IPv6 instead of IPv4."),
    click.option("--duration", metavar="TIME", help="Length of each cell: 30s."),
    click.option(
        "--repeats", type=int, metavar="N", help="Cells per controller, each with its own seed."
    ),
    click.option("--seed", type=int, metavar="N", help="Seed of everything random."),
    click.option("--link-backend", metavar="NAME", help="auto (default), relay or tc."),
    click.option(
        "--policy-server", metavar="ADDR", help="Use this policy server instead of starting one."
    ),
    click.option(
        "--pcap", is_flag=True, default=None, help="Capture packets at both ends of the bottleneck."
    ),
    click.option(
        "--log-inputs",
        is_flag=True,
        default=None,
        help="Log each decision of the policy server with its input, for `tbtest explain`.",
    ),
)


def with_scenario_flags(command: Command) -> Command:
    """Give a command one flag for each of these keys."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
