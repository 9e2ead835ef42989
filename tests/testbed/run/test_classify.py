"""Which packets are a program's, by hand-made logs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from testbed.links.base import DELIVERED, PACKET_SCHEMA, TAIL_DROP
from testbed.run.classify import ProgramFlow, address_number, assign, carried_bytes, received

MS = 1_000_000
HERE, THERE, OTHER = "10.0.0.1", "10.0.1.2", "10.0.9.9"


def packet(at_ms: int, source: str, destination: str, **known: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(PACKET_SCHEMA.names, 0)
    row |= {"flow": -1, "ack": False, "marked": False, "enqueue_ns": at_ms * MS, "protocol": 17}
    row |= {"source": address_number(source), "destination": address_number(destination)}
    row |= {"deliver_ns": (at_ms + 5) * MS, "size_bytes": 128, "payload_bytes": 100}
    return row | {"verdict": DELIVERED} | known


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), PACKET_SCHEMA)


def flow(number: int, **known: Any) -> ProgramFlow:
    given = {"receiver_port": 5000 + number, "start_ns": 0, "end_ns": 100 * MS}
    return ProgramFlow(number, HERE, THERE, **(given | known))


def told(packets: pa.Table) -> list[tuple[int, bool]]:
    columns = packets["flow"].to_pylist(), packets["ack"].to_pylist()
    return list(zip(*columns, strict=True))


def test_addresses_tell_the_flow_and_the_direction() -> None:
    packets = table(
        packet(1, HERE, THERE),
        packet(2, THERE, HERE),
        packet(3, HERE, OTHER),
        packet(4, OTHER, HERE),
        packet(5, HERE, THERE, protocol=1),  # a ping
        packet(101, HERE, THERE),  # after the flow
    )
    expected = [(0, False), (0, True), (-1, False), (-1, False), (-1, False), (-1, False)]
    found = assign(packets, [flow(0)])
    assert told(found) == expected
    assert found.schema == PACKET_SCHEMA


def test_the_receivers_port_tells_flows_of_the_same_hosts_apart() -> None:
    packets = table(
        packet(1, HERE, THERE, destination_port=5001, source_port=33333),
        packet(2, THERE, HERE, source_port=5001, destination_port=33333),
        packet(3, HERE, THERE, destination_port=5000),
        packet(4, HERE, THERE, destination_port=443),  # of no port: the first flow's
    )
    assert told(assign(packets, [flow(0), flow(1)])) == [
        (1, False),
        (1, True),
        (0, False),
        (0, False),
    ]


def test_what_ports_have_told_stays() -> None:
    assert told(assign(table(packet(1, HERE, THERE, flow=7)), [flow(0)])) == [(7, False)]


def test_ipv6_addresses_are_known_by_their_last_bytes() -> None:
    assert address_number("fd00::a00:1") == address_number("10.0.0.1")


def test_what_was_received_counts_payload_that_arrived() -> None:
    packets = table(
        packet(0, HERE, THERE),  # arrives at 5 ms
        packet(6, HERE, THERE, size_bytes=1500, payload_bytes=1472),  # at 11 ms
        packet(7, HERE, THERE, verdict=TAIL_DROP, deliver_ns=None),
        packet(8, THERE, HERE),
        packet(9, HERE, THERE, link=2),
    )
    own = flow(0, end_ns=20 * MS)
    rows = received(assign(packets, [own]), own, 0)
    assert rows["at_ns"].to_pylist() == [10 * MS, 20 * MS]
    assert rows["received_bytes"].to_pylist() == [100, 1572]


def test_bytes_by_transport() -> None:
    packets = table(packet(1, HERE, THERE), packet(2, THERE, HERE, protocol=6, size_bytes=60))
    assert carried_bytes(assign(packets, [flow(0)]), 0) == {"tcp": 60, "udp": 128}
    assert carried_bytes(packets, 3) == {}
