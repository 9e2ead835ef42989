"""A scenario with every name resolved: all that can be wrong is found before anything is
created.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from testbed.controllers import base as cc
from testbed.controllers.registry import label
from testbed.controllers.server import SharedServer
from testbed.errors import UserError
from testbed.links import backend as link_backend
from testbed.links.base import LinkBackend, Queue
from testbed.network import Bottleneck, ReturnPath
from testbed.network.routing import check_detours
from testbed.run import checks
from testbed.run.capacity import forward_trace, return_path
from testbed.run.programs import check_programs
from testbed.scenario import Scenario
from testbed.traffic import kind as traffic_kind
from testbed.traffic.abr import checkpoint_sha256
from testbed.traffic.base import Options, parse_options
from topologies import Topology, create
from topologies import find as find_topology
from traces.model import Trace


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
    trace = forward_trace(scenario)
    checks.capacity(scenario, trace)
    options = {"flows": scenario.flows, "rtt_ns": scenario.rtt_ns, **scenario.topology_options}
    topology = create(find_topology(scenario.topology), options)
    checks.cross_traffic(scenario, pairs=len(topology.pairs()))
    by_chooser = _flow_options(scenario)
    kind = traffic_kind(scenario.flow)
    for each in scenario.each_flow:
        parse_options(kind, {**scenario.flow_options, **each.options}).check()
    server = SharedServer(scenario, _asked(by_chooser.values()))
    if links := {failure.link for failure in scenario.failures if failure.link is not None}:
        check_detours(topology, links)
    checks.kernel_and_server(scenario, external=server.external is not None)
    prepared = Prepared(
        scenario=scenario,
        topology=topology,
        trace=trace,
        queue=scenario.queue_options.queue(
            scenario.queue,
            scenario.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns),
            ecn=scenario.ecn,
        ),
        reverse=return_path(scenario, trace),
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
    doubts = [text for options in by_chooser.values() for text in checks.doubts(scenario, options)]
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


def require_root() -> None:
    """Raises UserError without root."""
    if os.geteuid() != 0:
        raise UserError(
            "tbtest run needs root for network namespaces; run it with sudo, in a user namespace "
            "(docs/guide/automation.md), or with --virtual"
        )
