"""Which packets belong to a program's flow, and what it received. Pure.

Programs choose their ports; their flows are known by the addresses of the two hosts, and where
several flows share the hosts, by the receiver's port.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from testbed.links.base import DELIVERED, PACKET_SCHEMA

TCP, UDP = 6, 17
_NOT_TRAFFIC = (1, 58)  # ICMP and ICMPv6: pings and unreachable ports
_NAMES = {TCP: "tcp", UDP: "udp"}
_INTERVAL_NS = 10_000_000


@dataclass(frozen=True)
class ProgramFlow:
    """A flow of foreign programs between two hosts, and when its packets count, CLOCK_MONOTONIC."""

    flow: int
    sender: str
    receiver: str
    receiver_port: int
    start_ns: int
    end_ns: int


def address_number(address: str) -> int:
    """The number by which the packet log knows an address: of IPv6 the last 32 bits."""
    return int(ipaddress.ip_address(address)) & 0xFFFFFFFF


def assign(packets: pa.Table, flows: Sequence[ProgramFlow]) -> pa.Table:
    """``packets`` (PACKET_SCHEMA) with the columns flow and ack filled in for programs' flows.

    What ports have told already stays. A packet between two hosts belongs to the flow whose
    receiver's port it has, or else to the first flow of these hosts.
    """
    if not flows or not len(packets):
        return packets
    column = {name: packets[name].to_numpy() for name in PACKET_SCHEMA.names if "_ns" not in name}
    at_ns = packets["enqueue_ns"].to_numpy()
    flow, ack = column["flow"].copy(), column["ack"].copy()
    open_ = (flow < 0) & ~np.isin(column["protocol"], _NOT_TRAFFIC)

    def take(chosen: npt.NDArray[np.bool_], number: int, from_receiver: bool) -> None:
        nonlocal open_
        flow[chosen], ack[chosen] = number, from_receiver
        open_ &= ~chosen

    for by_port in (True, False):
        for own in flows:
            here, there = address_number(own.sender), address_number(own.receiver)
            within = open_ & (at_ns >= own.start_ns) & (at_ns <= own.end_ns)
            forth = within & (column["source"] == here) & (column["destination"] == there)
            back = within & (column["source"] == there) & (column["destination"] == here)
            if by_port:
                forth &= column["destination_port"] == own.receiver_port
                back &= column["source_port"] == own.receiver_port
            take(forth, own.flow, from_receiver=False)
            take(back, own.flow, from_receiver=True)
    for name, values in (("flow", flow), ("ack", ack)):
        index = PACKET_SCHEMA.get_field_index(name)
        field = PACKET_SCHEMA.field(index)
        packets = packets.set_column(index, field, pa.array(values, field.type))
    return packets


def carried_bytes(packets: pa.Table, flow: int) -> dict[str, int]:
    """IP bytes of a flow in both directions by transport: tcp, udp, or the protocol's number."""
    own = packets.filter(pc.equal(packets["flow"], flow))
    sums = own.group_by("protocol").aggregate([("size_bytes", "sum")])
    pairs = zip(sums["protocol"].to_pylist(), sums["size_bytes_sum"].to_pylist(), strict=True)
    return {_NAMES.get(protocol, str(protocol)): int(size) for protocol, size in sorted(pairs)}


def received(packets: pa.Table, own: ProgramFlow, link: int) -> pa.Table:
    """goodput.parquet's rows of a program's flow: payload that ``link`` delivered, every 10 ms.

    Headers of IP, TCP and UDP do not count; what TCP sends twice and arrives twice counts twice.
    """
    data = packets.filter(
        pc.and_(
            pc.and_(pc.equal(packets["flow"], own.flow), pc.invert(packets["ack"])),
            pc.and_(pc.equal(packets["link"], link), pc.equal(packets["verdict"], DELIVERED)),
        )
    )
    at_ns = np.arange(own.start_ns + _INTERVAL_NS, own.end_ns + _INTERVAL_NS, _INTERVAL_NS)
    arrived_ns = data["deliver_ns"].to_numpy()
    order = np.argsort(arrived_ns, kind="stable")
    total = np.concatenate(
        ([0], np.cumsum(data["payload_bytes"].to_numpy()[order], dtype=np.int64))
    )
    return pa.table(
        {
            "flow": pa.array(np.full(len(at_ns), own.flow), pa.int16()),
            "at_ns": pa.array(at_ns, pa.int64()),
            "received_bytes": pa.array(
                total[np.searchsorted(arrived_ns[order], at_ns, side="right")], pa.int64()
            ),
        }
    )
