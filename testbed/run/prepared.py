"""A scenario with every name resolved: all that can be wrong is found before anything is
created.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from testbed.buffer import MIN_BUFFER_BYTES
from testbed.controllers import base as cc
from testbed.controllers.registry import label
from testbed.controllers.server import SharedServer
from testbed.errors import UserError
from testbed.links import backend as link_backend
from testbed.links.base import LinkBackend, Queue
from testbed.network import Bottleneck, ReturnPath
from testbed.network.routing import check_detours
from testbed.parts import steps_trace
from testbed.run.programs import check_programs
from testbed.scenario import Scenario
from testbed.traffic import kind as traffic_kind
from testbed.traffic.abr import checkpoint_sha256
from testbed.traffic.base import Options, parse_options
from testbed.units import NS_PER_MS, NS_PER_S, format_duration
from topologies import Topology, create
from topologies import find as find_topology
from traces.library import load, other_direction
from traces.model import Trace, constant

_DRAWS = 100
_START_STEP_NS = 100_000_000
_MIN_ROUNDS = 20


@dataclass(frozen=True)
class Prepared:
    """What the cells of a run share."""

    scenario: Scenario
    topology: Topology
    trace: Trace
    queue: Queue
    reverse: ReturnPath
    backend: LinkBackend
    flow_options: Mapping[str, Options]
    """Of the measured flows, by who chooses their levels or schedules their jobs (--abr,
    --scheduler; "": the kind's own default).
    """
    server: SharedServer
    controllers: Mapping[str, cc.CongestionController]
    abr_checkpoints: Mapping[str, str] = field(default_factory=dict)
    """What identifies the network that the policy server chooses levels by, by the name of --abr;
    absent where a rule does.
    """
    # Sentences that say why the figures of every cell are doubtful.
    warnings: tuple[str, ...] = ()

    @property
    def buffer_bytes(self) -> int:
        """The bottleneck's queue limit."""
        return self.queue.limit_bytes

    def bottleneck(self, seed: int) -> Bottleneck:
        """The bottleneck of a cell with this seed."""
        scenario = self.scenario
        return Bottleneck(
            capacity=self.trace,
            queue=self.queue,
            loss=scenario.loss,
            jitter_ns=scenario.jitter_ns,
            reorder=scenario.reorder,
            duplicate=scenario.duplicate,
            policer=scenario.policer,
            wifi_ns=scenario.wifi_ns,
            seed=seed,
            reverse=self.reverse,
            ecn=scenario.ecn,
            sysctls=scenario.sysctls,
            ipv6=scenario.ip == 6,
        )


def resolve(scenario: Scenario) -> Prepared:
    """Look everything up and check that this machine can do it. Creates nothing.

    Raises UserError, or the error class of the package that knows better (ValueError).
    """
    if scenario.steps:
        trace = steps_trace(scenario.steps, "steps")
    elif scenario.trace is not None:
        trace = load(scenario.trace, scenario.trace_format)
    else:
        trace = constant(scenario.rate_bps or 0.0)
    trace = trace.starting_at(trace_start_ns(scenario, trace))
    _check_capacity(scenario, trace)
    options = {"flows": scenario.flows, "rtt_ns": scenario.rtt_ns, **scenario.topology_options}
    topology = create(find_topology(scenario.topology), options)
    pairs = len(topology.pairs())
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
    by_chooser = _flow_options(scenario)
    kind = traffic_kind(scenario.flow)
    for each in scenario.each_flow:
        parse_options(kind, {**scenario.flow_options, **each.options}).check()
    server = SharedServer(scenario, _asked(by_chooser.values()))
    if links := {failure.link for failure in scenario.failures if failure.link is not None}:
        check_detours(topology, links)
    for name in scenario.sysctls:
        if not Path("/proc/sys", *name.split(".")).exists():
            raise UserError(f"sysctls.{name}: this kernel has none of this name; leave it out")
    if server.external is not None and any(not failure.link for failure in scenario.failures):
        raise UserError(
            "failures: the server of policy_server is not this run's to kill; leave it out"
        )
    prepared = Prepared(
        scenario=scenario,
        topology=topology,
        trace=trace,
        queue=scenario.queue_options.queue(
            scenario.queue,
            scenario.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns),
            ecn=scenario.ecn,
        ),
        reverse=_return_path(scenario, trace),
        # Who is not root can only plan a run.
        backend=link_backend(scenario.link_backend, check=os.geteuid() == 0),
        flow_options=by_chooser,
        server=server,
        controllers=cc.controllers(scenario, server),
    )
    if any(options.asked() for options in by_chooser.values()):
        server.check()
        external = server.external is not None
        identities = {
            name: checkpoint_sha256(
                [asked for key, asked in options.asked().items() if key == "abr"], external
            )
            for name, options in by_chooser.items()
        }
        prepared = replace(prepared, abr_checkpoints=identities)
    doubts = [text for options in by_chooser.values() for text in _doubts(scenario, options)]
    prepared = replace(prepared, warnings=tuple(dict.fromkeys(doubts)))
    for controller in prepared.controllers.values():
        controller.check()
    for parsed in by_chooser.values():
        parsed.check()
    if scenario.expect:
        from analysis.expect.expression import parse  # late: runs without do not need pandas

        for text in scenario.expect:
            parse(text, [label(name) for name in scenario.cc])
    check_programs(scenario, prepared.backend.name)
    return prepared


def _flow_options(scenario: Scenario) -> dict[str, Options]:
    """The measured flows' options, by the names of --abr or --scheduler; alone under "" where there
    is neither.
    """
    kind = traffic_kind(scenario.flow)
    known = kind.options_model.model_fields
    if scenario.abr and "abr" not in known:
        raise UserError(
            f"abr: {scenario.flow} traffic has no levels to choose; use --flow dash with it"
        )
    if scenario.scheduler and "scheduler" not in known:
        raise UserError(
            f"scheduler: {scenario.flow} traffic has no jobs to schedule; use --flow jobs with it"
        )
    if kind.options_model.joint and scenario.bidirectional:
        raise UserError(f"bidirectional: {scenario.flow} traffic goes both ways already")
    if kind.options_model.joint and scenario.each_flow:
        raise UserError(f"each_flow: the flows of {scenario.flow} traffic are one application")
    key = "abr" if scenario.abr else "scheduler"
    names = scenario.abr or scenario.scheduler
    if not names:
        return {"": parse_options(kind, scenario.flow_options)}
    return {name: parse_options(kind, {**scenario.flow_options, key: name}) for name in names}


def _asked(options: Iterable[Options]) -> dict[str, list[str]]:
    """The policies that flows of these options ask of the run's server, by its settings."""
    found: dict[str, list[str]] = {}
    for one in options:
        for key, name in one.asked().items():
            found.setdefault(key, []).append(name)
    return found


def _check_capacity(scenario: Scenario, trace: Trace) -> None:
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


def _doubts(scenario: Scenario, options: Options) -> Iterator[str]:
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


def _return_path(scenario: Scenario, forward: Trace) -> ReturnPath:
    """The bottleneck against the data direction; its trace begins where the other one does."""
    asked = scenario.reverse
    if asked.trace is None and asked.rate_bps is None and not asked.steps:
        return ReturnPath(loss=asked.loss)
    if asked.steps:
        trace = steps_trace(asked.steps, "steps.reverse")
    elif asked.rate_bps is not None:
        trace = constant(asked.rate_bps)
    else:
        assert asked.trace is not None
        name: str | Path = asked.trace
        if name == "pair":
            if scenario.trace is None:
                raise UserError("reverse: pair is the other direction of a trace; name a trace")
            name = other_direction(scenario.trace)
        trace = load(name, scenario.trace_format).starting_at(trace_start_ns(scenario, forward))
    if trace.name == forward.name:  # each has a file of its own in the run folder
        trace = replace(trace, name=f"{trace.name}.reverse")
    limit_bytes = asked.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns)
    queue = asked.queue_options.queue(asked.queue, limit_bytes, ecn=scenario.ecn)
    return ReturnPath(trace, queue, asked.loss)


def trace_start_ns(scenario: Scenario, trace: Trace) -> int:
    """Where in its trace a scenario begins; at random in whole 100 ms, the same for every
    controller.

    Not in an outage, where no flow could connect: if the first second has less than a tenth of the
    mean rate, another place is drawn, up to 100 times.
    """
    if scenario.trace_start != "random":
        return scenario.trace_start
    places = max(0, trace.duration_ns - scenario.duration_ns) // _START_STEP_NS
    random = np.random.Generator(np.random.PCG64(scenario.seed))
    enough_bytes = 0.1 * trace.mean_bps() / 8
    for _ in range(_DRAWS):
        start_ns = int(random.integers(places + 1)) * _START_STEP_NS
        if trace.capacity_bytes(start_ns, start_ns + NS_PER_S) >= enough_bytes:
            break
    return start_ns


def require_root() -> None:
    """Raises UserError without root."""
    if os.geteuid() != 0:
        raise UserError(
            "tbtest run needs root for network namespaces; run it with sudo, in a user namespace "
            "(docs/guide/automation.md), or with --virtual"
        )
