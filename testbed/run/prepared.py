"""A scenario with every name resolved: all that can be wrong is found before anything is
created.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from testbed.controllers import base as cc
from testbed.controllers.server import SharedServer
from testbed.errors import UserError
from testbed.links import backend as link_backend
from testbed.links.base import LinkBackend, Queue
from testbed.network import Bottleneck
from testbed.scenario import Scenario
from testbed.traffic import kind as traffic_kind
from testbed.traffic.base import Options, parse_options
from testbed.units import NS_PER_S
from topologies import Topology, create
from topologies import find as find_topology
from traces.library import load
from traces.model import Trace, constant

_DRAWS = 100
_START_STEP_NS = 100_000_000


@dataclass(frozen=True)
class Prepared:
    """What the cells of a run share."""

    scenario: Scenario
    topology: Topology
    trace: Trace
    buffer_bytes: int
    backend: LinkBackend
    flow_options: Mapping[str, Options]
    """Of the measured flows, by who chooses their levels (--abr; "": the kind's own default)."""
    server: SharedServer
    controllers: Mapping[str, cc.CongestionController]

    def bottleneck(self, seed: int) -> Bottleneck:
        """The bottleneck of a cell with this seed."""
        scenario = self.scenario
        return Bottleneck(
            capacity=self.trace,
            queue=Queue(kind=scenario.queue, limit_bytes=self.buffer_bytes),
            loss=scenario.loss,
            jitter_ns=scenario.jitter_ns,
            seed=seed,
        )


def resolve(scenario: Scenario) -> Prepared:
    """Look everything up and check that this machine can do it. Creates nothing.

    Raises UserError, or the error class of the package that knows better (ValueError).
    """
    trace = (
        load(scenario.trace, scenario.trace_format)
        if scenario.trace is not None
        else constant(scenario.rate_bps or 0.0)
    )
    trace = trace.starting_at(trace_start_ns(scenario, trace))
    options = {"flows": scenario.flows, "rtt_ns": scenario.rtt_ns, **scenario.topology_options}
    topology = create(find_topology(scenario.topology), options)
    pairs = len(topology.pairs())
    for number, cross in enumerate(scenario.cross_traffic):
        if cross.pair >= pairs:
            raise UserError(
                f"cross_traffic.{number}.pair: {cross.pair}, but {scenario.topology} has {pairs} "
                "pairs"
            )
        if parse_options(traffic_kind(cross.kind), cross.options).asked():
            raise UserError(
                f"cross_traffic.{number}.options.abr: cross traffic decides itself; name a rule"
            )
        cc.KernelController(cross.cc).check()
        if cross.start_ns >= scenario.duration_ns:
            raise UserError(
                f"cross_traffic.{number}.start: it would begin after the end; use less than "
                "duration"
            )
    options_by_abr = _flow_options(scenario)
    server = SharedServer(
        scenario, [name for options in options_by_abr.values() for name in options.asked()]
    )
    prepared = Prepared(
        scenario=scenario,
        topology=topology,
        trace=trace,
        buffer_bytes=scenario.buffer.limit_bytes(rate_bps=trace.mean_bps(), rtt_ns=scenario.rtt_ns),
        backend=link_backend(scenario.link_backend),
        flow_options=options_by_abr,
        server=server,
        controllers=cc.controllers(scenario, server),
    )
    if any(options.asked() for options in options_by_abr.values()):
        server.check()
    for controller in prepared.controllers.values():
        controller.check()
    return prepared


def _flow_options(scenario: Scenario) -> dict[str, Options]:
    """The measured flows' options, by the names of --abr; alone under "" where there is none."""
    kind = traffic_kind(scenario.flow)
    if not scenario.abr:
        return {"": parse_options(kind, scenario.flow_options)}
    if "abr" not in kind.options_model.model_fields:
        raise UserError(
            f"abr: {scenario.flow} traffic has no levels to choose; use --flow dash with it"
        )
    return {abr: parse_options(kind, {**scenario.flow_options, "abr": abr}) for abr in scenario.abr}


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
        raise UserError("tbtest run needs root for network namespaces; run it with sudo")
