"""The tc backend on a kernel that has all it needs: what was asked for against what packets met."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from testbed.links.base import Attachment, Direction, LinkSpec, Loss, Queue
from testbed.links.tc import TcBackend
from testbed.system.netns import NetNs
from testbed.system.scope import Scope
from traces import Steps, Trace, constant

pytestmark = [pytest.mark.root, pytest.mark.netem]
MS = 1_000_000
RATE_BPS = 4e6
PAYLOAD_BYTES, PACKET_BYTES = 1172, 1200


class Line:
    """A tc link with a UDP socket at either end."""

    def __init__(self, scope: Scope, forward: Direction) -> None:
        ends = [
            Attachment(scope.enter(NetNs.create()), name, f"10.9.0.{number}/30")
            for number, name in ((1, "up0"), (2, "down0"))
        ]
        self.link = TcBackend().open(scope, LinkSpec("test", forward, Direction()), *ends, scope.tmp)
        self.sender, self.receiver = (scope.enter(self._udp(end, 5000)) for end in ends)
        # SO_SNDBUFFORCE, SO_RCVBUFFORCE: what is queued counts against the sending socket, which would wait.
        self.sender.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)
        self.receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        self.sender.connect(("10.9.0.2", 5000))
        self.sender.send(bytes(PAYLOAD_BYTES))  # the neighbour is resolved
        self.receiver.recv(2000)

    @staticmethod
    def _udp(end: Attachment, port: int) -> socket.socket:
        with end.netns.inside():
            found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((end.address.split("/")[0], port))
        found.settimeout(5)
        return found

    def flood(self, seconds: float, rate_bps: float) -> np.ndarray:
        """Sends that long at that rate; arrival times, int64[n] in ns."""
        arrived = []

        def receive() -> None:
            while packet := self.receiver.recv(2000):
                if len(packet) != PAYLOAD_BYTES:
                    return
                arrived.append(time.monotonic_ns())

        thread = threading.Thread(target=receive)
        thread.start()
        begun, sent = time.monotonic(), 0
        while (lasted := time.monotonic() - begun) < seconds:
            while sent * PACKET_BYTES * 8 < lasted * rate_bps:
                self.sender.send(bytes(PAYLOAD_BYTES))
                sent += 1
            time.sleep(0.01)
        time.sleep(0.6)  # the queue drains
        self.sender.send(b"end")
        thread.join()
        return np.array(arrived)


def test_a_constant_rate_is_carried_within_two_per_cent(scope: Scope) -> None:
    line = Line(scope, Direction(capacity=constant(RATE_BPS), queue=Queue(limit_bytes=100_000)))
    line.link.start(time.monotonic_ns())
    arrived = line.flood(4.0, 1.5 * RATE_BPS)
    steady = arrived[len(arrived) // 8 : -len(arrived) // 8]
    rate_bps = (len(steady) - 1) * PACKET_BYTES * 8e9 / (steady[-1] - steady[0])
    assert rate_bps == pytest.approx(RATE_BPS, rel=0.02)
    sample = line.link.sample().forward
    assert sample.dropped_packets > 100
    # Besides: the first packet, the last one, and what resolving neighbours takes.
    assert 2 <= sample.delivered_packets - len(arrived) <= 8


def test_a_varying_rate_carries_the_trace_s_bytes(scope: Scope) -> None:
    """Steps of 0.5 s: slower than the ten changes a second that tc is good for."""
    starts_ns = np.arange(4) * 500 * MS
    trace = Trace("steps", 2000 * MS, Steps(starts_ns, np.array([4e6, 1e6, 3e6, 2e6])), None)
    line = Line(scope, Direction(capacity=trace, queue=Queue(limit_bytes=60_000)))
    zero_ns = time.monotonic_ns()
    line.link.start(zero_ns)
    arrived = line.flood(6.5, 6e6) - zero_ns
    within = np.count_nonzero((arrived >= 1000 * MS) & (arrived < 5000 * MS))
    assert within * PACKET_BYTES == pytest.approx(trace.capacity_bytes(1000 * MS, 5000 * MS), rel=0.05)


@pytest.mark.parametrize("delay_ms", [5, 40])
def test_a_delay_is_as_asked(scope: Scope, delay_ms: int) -> None:
    line = Line(scope, Direction(capacity=constant(RATE_BPS), delay_ns=delay_ms * MS))
    passed_ms = []
    for _ in range(40):
        sent_ns = time.monotonic_ns()
        line.sender.send(bytes(100))
        line.receiver.recv(2000)
        passed_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
        time.sleep(0.02)
    # 128 bytes take a quarter of a millisecond at 4 Mbit/s. The rest above the delay is the guest waking up late.
    assert min(passed_ms) >= delay_ms
    assert min(passed_ms) < delay_ms + 2
    assert np.median(passed_ms) < delay_ms + 6


@pytest.mark.parametrize("asked", [0.01, 0.1])
def test_random_loss_is_as_asked(scope: Scope, asked: float) -> None:
    line = Line(scope, Direction(loss=Loss.random(asked)))
    with ExitStack() as stack:
        stack.callback(line.receiver.settimeout, 5)
        line.receiver.settimeout(0.5)
        sent, received = 6000, 0
        for number in range(sent):
            line.sender.send(bytes(PAYLOAD_BYTES))
            if number % 500 == 499:
                received += _received(line.receiver)
    # Binomial, four standard deviations; netem's losses have no seed.
    assert (sent - received) / sent == pytest.approx(asked, abs=4 * (asked * (1 - asked) / sent) ** 0.5)


def _received(receiver: socket.socket) -> int:
    count = 0
    try:
        while True:
            receiver.recv(2000)
            count += 1
    except TimeoutError:
        return count
