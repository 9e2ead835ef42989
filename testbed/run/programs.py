"""Flows of foreign programs after a cell: what the packet log says they received."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.errors import UserError
from testbed.links.base import FORWARD, REVERSE
from testbed.network import Network
from testbed.run.classify import ProgramFlow, carried_bytes, received
from testbed.scenario import Scenario
from testbed.system.process import ProcessFailed
from testbed.traffic.planned import PlannedFlow
from testbed.traffic.registry import PROGRAMS


def check_programs(scenario: Scenario, backend: str) -> None:
    """Raises UserError where programs carry flows that this link backend cannot measure, or a
    controller is asked for that a call cannot have.
    """
    kinds = {scenario.flow, *(cross.kind for cross in scenario.cross_traffic)}
    programs = [name for name in PROGRAMS if name in kinds]
    if programs and backend != "relay":
        raise UserError(
            f"{programs[0]} traffic is measured by the relay's packet log, which the {backend} "
            "backend lacks; use --link-backend relay"
        )
    others = [name for name in scenario.cc if not name.startswith("app:")]
    if scenario.flow == "call" and others:
        raise UserError(
            f"cc {others[0]!r}: a call is under WebRTC's own controller; write --cc app:gcc"
        )


def program_flows(flows: Sequence[PlannedFlow], start_ns: int) -> list[ProgramFlow]:
    """The flows of ``flows`` that programs carry; ``start_ns`` is the cell's start."""
    return [
        ProgramFlow(
            flow=flow.spec.flow,
            sender=flow.spec.sender_address,
            receiver=flow.spec.receiver_address,
            receiver_port=flow.spec.receiver_port,
            start_ns=start_ns + flow.start_ns,
            end_ns=start_ns + flow.stop_ns,
        )
        for flow in flows
        if flow.foreign
    ]


def write_received(
    packets: pa.Table,
    programs: Sequence[ProgramFlow],
    flows: Sequence[PlannedFlow],
    network: Network,
    folder: Path,
) -> dict[int, dict[str, Any]]:
    """Write goodput-<flow>.parquet of every program's flow; returns what cell.json says of each.

    Raises ProcessFailed for a flow of which no packet was seen.
    """
    by_number = {flow.spec.flow: flow for flow in flows}
    told = {}
    for own in programs:
        carried = carried_bytes(packets, own.flow)
        if not carried:
            raise ProcessFailed(
                f"flow {own.flow}: no packet passed between {own.sender} and {own.receiver}; does "
                "the sender's command name {receiver}?"
            )
        link = _measured_at(by_number[own.flow], network)
        table = received(packets, own, link)
        pq.write_table(table, folder / f"goodput-{own.flow}.parquet", compression="zstd")
        told[own.flow] = {"carried_bytes": carried}
    return told


def _measured_at(flow: PlannedFlow, network: Network) -> int:
    """The number of the last emulated link direction on the flow's path."""
    last = flow.pair.path[-1]
    return 2 * network.links[last.name].index + (FORWARD if last.forward else REVERSE)
