"""The flows of a cell: which processes run where, and from when to when. Pure."""

from __future__ import annotations

from pathlib import Path

from testbed.network import Network, Pair
from testbed.run.plan import CellPlan, cell_seed, flow_offsets_ns
from testbed.run.prepared import Prepared
from testbed.traffic.base import FlowSpec
from testbed.traffic.planned import PlannedFlow


def plan_flows(
    prepared: Prepared,
    network: Network,
    plan: CellPlan,
    tcp_congestion: str,
    log_dir: Path,
    policy_server: str = "",
) -> list[PlannedFlow]:
    """Measured flows first, numbered as their pairs, then those of the other direction, then the
    cross traffic.

    ``policy_server``: its address, where the measured flows ask it.
    """
    seed = plan.seed
    scenario = prepared.scenario
    duration_ns = scenario.duration_ns
    planned: list[PlannedFlow] = []

    def add(
        pair: Pair,
        kind: str,
        congestion: str,
        options: dict[str, object],
        start_ns: int,
        cross: bool,
    ) -> None:
        number = len(planned)
        spec = FlowSpec(
            flow=number,
            kind=kind,
            tcp_congestion=congestion,
            sender_address=pair.sender.address,
            receiver_address=pair.receiver.address,
            seed=cell_seed(seed, number),
            duration_ns=duration_ns - start_ns,
            options=options,
            log_dir=log_dir,
            policy_server="" if cross else policy_server,
        )
        planned.append(
            PlannedFlow(spec, pair, "cross" if cross else "measured", start_ns, duration_ns)
        )

    measured = [pair for pair in network.pairs if pair.role == "measured"]
    options = prepared.flow_options[plan.abr].model_dump(mode="json")
    offsets_ns = flow_offsets_ns(scenario, seed)
    for pair, offset_ns in zip(measured, offsets_ns, strict=True):
        add(pair, scenario.flow, tcp_congestion, options, offset_ns, cross=False)
    if scenario.bidirectional:
        for pair, offset_ns in zip(measured, offsets_ns, strict=True):
            add(pair.turned(), scenario.flow, tcp_congestion, options, offset_ns, cross=False)
    for extra in scenario.cross_traffic:
        pair = network.pairs[extra.pair]
        add(
            pair.turned() if extra.direction == "reverse" else pair,
            extra.kind,
            extra.cc,
            dict(extra.options),
            extra.start_ns,
            cross=True,
        )
    return planned
