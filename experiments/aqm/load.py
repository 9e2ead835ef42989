"""Traffic that asks the same of every queue: UDP packets of one size from a seeded schedule, or
from flows whose windows answer to marks and losses. Sender and receiver are one process, so that a
packet's delay is read from one clock and the way back takes exactly as long as asked.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from testbed.system.netns import NetNs

PACKET_BYTES = 1500  # of IP
_PAYLOAD_BYTES = PACKET_BYTES - 28
_HEAD = struct.Struct("!HIq")  # flow, number, when sent
_PORT = 5000
_BUFFER_BYTES = 64 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SILENCE_NS = 1_000_000_000  # after which all that a flow has under way is taken for lost
NOT_ECT, ECT1, ECT0, CE = range(4)


@dataclass(frozen=True)
class Seen:
    """What arrived: arrays over packets in order of arrival. ``lost``: how many packets of the flow
    were lost right before it.
    """

    flow: npt.NDArray[np.int64]
    sent_ns: npt.NDArray[np.int64]
    delay_ns: npt.NDArray[np.int64]
    marked: npt.NDArray[np.bool_]
    lost: npt.NDArray[np.int64]


@dataclass
class _Flow:
    """A sender: Reno's additive increase, and a decrease by half once in a round trip; or, if it is
    ``scalable``, by half a packet for each mark (RFC 9332, 2.1).
    """

    number: int
    socket: socket.socket
    scalable: bool = False
    window: float = 2.0
    threshold: float = 6.0  # few, so that no slow start floods the queue
    under_way: int = 0
    next_number: int = 0
    recovered: int = 0  # a mark or loss of a packet before this one counts no more
    heard_ns: int = 0

    def send(self, now_ns: int) -> None:
        head = _HEAD.pack(self.number, self.next_number, now_ns)
        with suppress(OSError):  # ENOBUFS: the queue refused it
            self.socket.send(head + bytes(_PAYLOAD_BYTES - _HEAD.size))
        self.next_number += 1
        self.under_way += 1

    def acknowledged(self, number: int, lost: int, marked: bool) -> None:
        self.under_way = max(0, self.under_way - 1 - lost)
        if marked and self.scalable and not lost:
            self.window, self.threshold = max(1.0, self.window - 0.5), self.window
        elif (marked or lost) and number >= self.recovered:
            self.window = self.threshold = max(1.0, self.window / 2)
            self.recovered = self.next_number
        elif not marked and not lost:
            self.window += 1.0 if self.window < self.threshold else 1.0 / self.window


@dataclass
class _Ends:
    """The sockets of a load: flows at the sender's host, one receiver."""

    flows: list[_Flow]
    receiver: socket.socket
    expected: dict[int, int] = field(default_factory=dict)

    def arrivals(self) -> Iterator[tuple[int, int, int, int, bool]]:
        """Flow, number, when sent, how many before it were lost, marked; of all that waits."""
        while True:
            try:
                data, ancillary, _, _ = self.receiver.recvmsg(2048, 64)
            except BlockingIOError:
                return
            flow, number, sent_ns = _HEAD.unpack_from(data)
            lost = number - self.expected.get(flow, 0)
            self.expected[flow] = number + 1
            yield flow, number, sent_ns, lost, (ancillary[0][2][0] & 3) == CE

    def close(self) -> None:
        for flow in self.flows:
            flow.socket.close()
        self.receiver.close()


def _open(sender: NetNs, receiver: NetNs, address: str, ecn: list[int]) -> _Ends:
    """A flow for each codepoint of ``ecn``; ECT(1) makes it scalable."""
    with receiver.inside():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    sink.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    sink.setblocking(False)
    sink.bind((address, _PORT))
    flows = []
    for number, codepoint in enumerate(ecn):
        with sender.inside():
            source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER_BYTES)
        source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, codepoint)
        source.setblocking(False)
        source.connect((address, _PORT))
        flows.append(_Flow(number, source, scalable=codepoint == ECT1))
    return _Ends(flows, sink)


def scheduled(
    ends: tuple[NetNs, NetNs, str], at_ns: npt.NDArray[np.int64], ecn: int, drain_ns: int
) -> Seen:
    """Packets of one flow at these times from now on. ``ends``: the hosts' namespaces, and the
    receiver's address.
    """
    load = _open(*ends, [ecn])
    (flow,) = load.flows
    place = 0

    def due(now_ns: int, start_ns: int) -> int:
        nonlocal place
        while place < len(at_ns) and start_ns + int(at_ns[place]) <= now_ns:
            flow.send(now_ns)
            place += 1
        return start_ns + int(at_ns[place]) if place < len(at_ns) else 1 << 62

    length_ns = int(at_ns[-1]) + drain_ns
    return _run(load, length_ns, 0, due, lambda *_: None)


def responsive(
    ends: tuple[NetNs, NetNs, str], ecn: list[int], rtt_ns: int, length_ns: int, warm_up_ns: int
) -> Seen:
    """A flow for each codepoint, for so long; what was sent in the warm-up is not reported."""
    load = _open(*ends, ecn)
    acks: list[tuple[int, int, int, int, bool]] = []

    def arrived(now_ns: int, flow: int, number: int, lost: int, marked: bool) -> None:
        heapq.heappush(acks, (now_ns + rtt_ns, flow, number, lost, marked))

    def due(now_ns: int, start_ns: int) -> int:
        while acks and acks[0][0] <= now_ns:
            _, number, packet, lost, marked = heapq.heappop(acks)
            load.flows[number].acknowledged(packet, lost, marked)
            load.flows[number].heard_ns = now_ns
        for flow in load.flows:
            # One after the other within a round trip, so that they do not go in step.
            if now_ns < start_ns + flow.number * rtt_ns // len(load.flows):
                continue
            if flow.under_way and now_ns - flow.heard_ns > _SILENCE_NS:
                flow.under_way, flow.window, flow.heard_ns = 0, 1.0, now_ns
            while flow.under_way < int(flow.window) and now_ns < start_ns + length_ns:
                flow.send(now_ns)
        return min(acks[0][0] if acks else 1 << 62, now_ns + rtt_ns // len(load.flows))

    return _run(load, length_ns, warm_up_ns, due, arrived)


def _run(
    load: _Ends,
    length_ns: int,
    warm_up_ns: int,
    due: Callable[[int, int], int],
    arrived: Callable[[int, int, int, int, bool], None],
) -> Seen:
    """``due`` sends what is due and says when to be asked again; ``arrived`` hears of packets."""
    rows: list[tuple[int, int, int, bool, int]] = []
    start_ns = time.monotonic_ns()
    for flow in load.flows:
        flow.heard_ns = start_ns
    while (now_ns := time.monotonic_ns()) < start_ns + length_ns:
        for flow_number, number, sent_ns, lost, marked in load.arrivals():
            rows.append((flow_number, sent_ns, now_ns - sent_ns, marked, lost))
            arrived(now_ns, flow_number, number, lost, marked)
        wait_ns = due(now_ns, start_ns) - now_ns
        wait_ns = min(max(wait_ns, 0), start_ns + length_ns - now_ns)
        select.select([load.receiver], [], [], wait_ns / 1e9)
    load.close()
    table = np.array([row for row in rows if row[1] >= start_ns + warm_up_ns], np.int64)
    flow_column, sent_column, delay_column, marked_column, lost_column = table.reshape(-1, 5).T
    return Seen(flow_column, sent_column, delay_column, marked_column.astype(bool), lost_column)


def alternating(
    rate_bps: float, high: float, low: float, half_ns: int, length_ns: int, seed: int
) -> npt.NDArray[np.int64]:
    """Poisson arrivals at ``high`` and ``low`` times what a link of ``rate_bps`` carries, for
    ``half_ns`` each in turn: times in ns.
    """
    random = np.random.default_rng(seed)
    mean_ns = PACKET_BYTES * 8e9 / rate_bps
    # Unit arrivals, at the time at which the rate's integral reaches them.
    edges_ns = np.arange(0, length_ns + 2 * half_ns, half_ns)
    shares = np.where(np.arange(len(edges_ns) - 1) % 2 == 0, high, low)
    grown = np.concatenate(([0.0], np.cumsum(shares * half_ns / mean_ns)))
    units = np.cumsum(random.exponential(1.0, int(grown[-1] * 1.2) + 100))
    units = units[units < grown[-1]]
    at_ns: npt.NDArray[np.int64] = np.interp(units, grown, edges_ns).astype(np.int64)
    return at_ns[at_ns < length_ns]
