"""The tc backend on a kernel that has all it needs: what was asked for against what packets met."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from testbed.links.base import Attachment, Direction, LinkSpec, Queue
from testbed.links.impairments import Loss
from testbed.links.tc.backend import TcBackend
from testbed.system.netns import NetNs
from testbed.system.scope import Scope
from traces import Steps, Trace, constant

pytestmark = [pytest.mark.root, pytest.mark.netem]
MS = 1_000_000
Record = Callable[[str, object], None]  # into junit.xml
RATE_BPS = 1e6
PAYLOAD_BYTES, PACKET_BYTES = 1172, 1200
PACKETS = 500
QUEUE = Queue(limit_bytes=PACKETS * PACKET_BYTES)


class Line:
    """A tc link with a UDP socket at either end."""

    def __init__(self, scope: Scope, forward: Direction) -> None:
        ends = [
            Attachment(scope.enter(NetNs.create()), name, f"10.9.0.{number}/30")
            for number, name in ((1, "up0"), (2, "down0"))
        ]
        self.link = TcBackend().open(
            scope, LinkSpec("test", forward, Direction()), *ends, scope.tmp
        )
        self.sender, self.receiver = (scope.enter(self._udp(end, 5000)) for end in ends)
        # SO_SNDBUFFORCE, SO_RCVBUFFORCE: what is queued counts against the sending socket, which
        # would wait.
        self.sender.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)
        self.receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        self.receiver.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        self.sender.connect(("10.9.0.2", 5000))
        self.sender.send(bytes(PAYLOAD_BYTES))  # the neighbour is resolved
        self.receiver.recv(2000)

    @staticmethod
    def _udp(end: Attachment, port: int) -> socket.socket:
        with end.netns.inside():
            found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((end.address.split("/")[0], port))
        found.settimeout(20)
        return found

    def drain(self, packets: int) -> np.ndarray:
        """Fills the queue at once; the kernel's stamps of its packets on arrival, int64[n] of the
        monotonic clock.
        """
        since_ns = time.time_ns() - time.monotonic_ns()
        for _ in range(packets):
            self.sender.send(bytes(PAYLOAD_BYTES))
        stamps_ns = []
        for _ in range(packets):
            ((_, _, stamp),) = self.receiver.recvmsg(2000, 64)[1]
            seconds, ns = struct.unpack("qq", stamp)
            stamps_ns.append(seconds * 10**9 + ns - since_ns)
        return np.array(stamps_ns)


def first_within(tolerance: float, measure: Callable[[], float]) -> list[float]:
    """The errors of up to three measurements, the last one within the tolerance if any is.

    A guest that is starved for longer than HTB's burst of two packets loses capacity.
    """
    errors: list[float] = []
    while len(errors) < 3 and (not errors or abs(errors[-1]) > tolerance):
        errors.append(measure())
    return errors


def test_a_constant_rate_is_carried_within_two_per_cent(
    scope: Scope, record_property: Record
) -> None:
    line = Line(scope, Direction(capacity=constant(RATE_BPS), queue=QUEUE))
    line.link.start(time.monotonic_ns())

    def error() -> float:
        stamps_ns = line.drain(PACKETS)[
            PACKETS // 5 :
        ]  # without what arrived while the queue was being filled
        return float(
            (len(stamps_ns) - 1) * PACKET_BYTES * 8e9 / (stamps_ns[-1] - stamps_ns[0]) / RATE_BPS
            - 1
        )

    errors = first_within(0.02, error)
    record_property("errors", errors)
    assert abs(errors[-1]) <= 0.02
    sample = line.link.sample().forward
    assert sample.dropped_packets == 0
    # Besides: the first packet, and what resolving neighbours takes.
    assert 1 <= sample.delivered_packets - len(errors) * PACKETS <= 12


def test_a_varying_rate_carries_the_traces_bytes(scope: Scope, record_property: Record) -> None:
    """Steps of 0.5 s: slower than the ten changes a second that tc is good for."""
    rates_bps = RATE_BPS * np.array([1.2, 0.4, 1, 0.6])
    trace = Trace("steps", 2000 * MS, Steps(np.arange(4) * 500 * MS, rates_bps), None)
    begin_ns, end_ns = 1000 * MS, 4000 * MS

    def error() -> float:
        line = Line(scope, Direction(capacity=trace, queue=QUEUE))
        zero_ns = time.monotonic_ns()
        line.link.start(zero_ns)
        at_ns = line.drain(PACKETS) - zero_ns
        assert at_ns[-1] > end_ns
        carried_bytes = np.count_nonzero((at_ns >= begin_ns) & (at_ns < end_ns)) * PACKET_BYTES
        return float(carried_bytes / trace.capacity_bytes(begin_ns, end_ns) - 1)

    errors = first_within(0.05, error)
    record_property("errors", errors)
    assert abs(errors[-1]) <= 0.05


@pytest.mark.parametrize("delay_ms", [5, 40])
def test_a_delay_is_as_asked(scope: Scope, delay_ms: int, record_property: Record) -> None:
    line = Line(scope, Direction(capacity=constant(RATE_BPS), delay_ns=delay_ms * MS))
    passed_ms = []
    for _ in range(40):
        sent_ns = time.monotonic_ns()
        line.sender.send(bytes(100))
        line.receiver.recv(2000)
        passed_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        time.sleep(0.02)
    record_property("min_and_median_ms", (min(passed_ms), float(np.median(passed_ms))))
    # 128 bytes take a millisecond at 1 Mbit/s. The rest above the delay is the guest waking up
    # late.
    assert min(passed_ms) >= delay_ms
    assert min(passed_ms) < delay_ms + 3
    assert np.median(passed_ms) < delay_ms + 8


def test_random_loss_is_as_asked(scope: Scope, record_property: Record) -> None:
    asked, sent, received = 0.02, 5000, 0
    line = Line(scope, Direction(loss=Loss.random(asked)))
    line.receiver.settimeout(0.5)
    for number in range(sent):
        line.sender.send(bytes(100))
        if number % 1000 == 999:
            received += _received(line.receiver)
    record_property("lost", (sent - received) / sent)
    # Binomial, four standard deviations; netem's losses have no seed.
    assert (sent - received) / sent == pytest.approx(
        asked, abs=4 * (asked * (1 - asked) / sent) ** 0.5
    )


def _received(receiver: socket.socket) -> int:
    count = 0
    try:
        while True:
            receiver.recv(2000)
            count += 1
    except TimeoutError:
        return count
