"""What can be wrong with a scenario that only traces, topology, traffic and this kernel know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from testbed.buffer import MIN_BUFFER_BYTES
from testbed.controllers import base as cc
from testbed.errors import UserError
from testbed.scenario import Scenario
from testbed.traffic import kind as traffic_kind
from testbed.traffic.base import Options, parse_options
from testbed.units import NS_PER_MS, format_duration
from traces.model import Trace

_MIN_ROUNDS = 20


def cross_traffic(scenario: Scenario, *, pairs: int) -> None:
    """Raises UserError for a flow outside the comparison that cannot run. pairs: of hosts."""
    for number, cross in enumerate(scenario.cross_traffic):
        if cross.pair >= pairs:
            raise UserError(
                f"cross_traffic.{number}.pair: {cross.pair}, but {scenario.topology} has {pairs} "
                "pairs"
            )
        cross_options = parse_options(traffic_kind(cross.kind), cross.options)
        if cross_options.joint:
            raise UserError(
                f"cross_traffic.{number}.kind: {cross.kind} needs all measured flows; use --flow"
            )
        if cross_options.asked():
            raise UserError(
                f"cross_traffic.{number}.options.abr: cross traffic decides itself; name a rule"
            )
        cross_options.check()
        cc.KernelController(cross.cc).check()
        if cross.start_ns >= scenario.duration_ns:
            raise UserError(
                f"cross_traffic.{number}.start: it would begin after the end; use less than "
                "duration"
            )
        stop_ns = scenario.duration_ns if cross.stop_ns is None else cross.stop_ns
        if stop_ns > scenario.duration_ns or stop_ns <= cross.start_ns:
            raise UserError(
                f"cross_traffic.{number}.stop: it must lie after start and within duration"
            )


def kernel_and_server(scenario: Scenario, *, external: bool) -> None:
    """Raises UserError for a sysctl that this kernel does not have, or a failure of a server that
    is not this run's (external).
    """
    for name in scenario.sysctls:
        if not Path("/proc/sys", *name.split(".")).exists():
            raise UserError(f"sysctls.{name}: this kernel has none of this name; leave it out")
    if external and any(not failure.link for failure in scenario.failures):
        raise UserError(
            "failures: the server of policy_server is not this run's to kill; leave it out"
        )


def capacity(scenario: Scenario, trace: Trace) -> None:
    """Raises UserError if the trace lets less than three packets pass in the whole cell."""
    capacity_bytes = trace.capacity_bytes(0, scenario.duration_ns)
    if capacity_bytes >= MIN_BUFFER_BYTES:
        return
    cell = format_duration(scenario.duration_ns)
    if capacity_bytes < 1:
        raise UserError(
            f"trace {trace.name}: an outage lasts for the whole cell of {cell}; choose another "
            "--trace-start, or a --duration that outlasts it"
        )
    raise UserError(
        f"trace {trace.name}: {capacity_bytes:.0f} bytes can pass in the whole cell of {cell}, "
        "less than three packets; choose another --trace-start, a longer --duration or a higher "
        "rate"
    )


def doubts(scenario: Scenario, options: Options) -> Iterator[str]:
    """Sentences that say why the figures of every cell are doubtful."""
    one_way_ms = scenario.rtt_ns / 2 / NS_PER_MS
    buffer_ms = getattr(options, "jitter_buffer_ms", None)
    if buffer_ms is not None and buffer_ms <= one_way_ms:
        yield (
            f"flow_options.jitter_buffer_ms = {buffer_ms:g}, and propagation alone takes "
            f"{one_way_ms:g} ms: every frame is late, and stalls and on-time figures say little; "
            "give a longer jitter buffer"
        )
    rounds = scenario.duration_ns // scenario.rtt_ns
    if rounds < _MIN_ROUNDS:
        yield (
            f"the cell lasts {rounds} round trips: the controllers are still starting up; give a "
            "longer --duration"
        )
