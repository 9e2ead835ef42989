"""The flows of a cell: which processes run where, and from when to when. Pure."""

from __future__ import annotations

from pathlib import Path

from testbed.network import Network, Pair
from testbed.parts import EachFlow
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
        stop_ns: int | None = None,
    ) -> None:
        number = len(planned)
        stop_ns = duration_ns if stop_ns is None else stop_ns
        spec = FlowSpec(
            flow=number,
            kind=kind,
            tcp_congestion=congestion,
            sender_address=pair.sender.address,
            receiver_address=pair.receiver.address,
            seed=cell_seed(seed, number),
            duration_ns=stop_ns - start_ns,
            options=options,
            log_dir=log_dir,
            measured_flows=len(measured),
            policy_server="" if cross else policy_server,
        )
        planned.append(PlannedFlow(spec, pair, "cross" if cross else "measured", start_ns, stop_ns))

    measured = [pair for pair in network.pairs if pair.role == "measured"]
    options = prepared.flow_options[plan.chooser].model_dump(mode="json")
    offsets_ns = flow_offsets_ns(scenario, seed)
    each = scenario.each_flow or (EachFlow.model_validate({}),) * len(measured)
    for turned in (False, True)[: 1 + scenario.bidirectional]:
        for pair, offset_ns, own in zip(measured, offsets_ns, each, strict=True):
            start_ns = offset_ns if own.start_ns is None else own.start_ns
            add(
                pair.turned() if turned else pair,
                scenario.flow,
                tcp_congestion,
                {**options, **own.options},
                start_ns,
                cross=False,
                stop_ns=own.stop_ns,
            )
    for extra in scenario.cross_traffic:
        pair = network.pairs[extra.pair]
        add(
            pair.turned() if extra.direction == "reverse" else pair,
            extra.kind,
            extra.cc,
            dict(extra.options),
            extra.start_ns,
            cross=True,
            stop_ns=extra.stop_ns,
        )
    return planned
