"""The tc backend between two real namespaces: the rate everywhere, delay and loss where the kernel
has sch_netem.
"""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from testbed.errors import UserError
from testbed.links.base import PACKET_SCHEMA, Attachment, Direction, Link, LinkSpec, Queue
from testbed.links.impairments import Loss
from testbed.links.tc.backend import TcBackend
from testbed.links.tc.probe import missing_features
from testbed.system.netns import NetNs
from testbed.system.offload import read_offloads
from testbed.system.scope import Scope
from traces.model import constant

pytestmark = pytest.mark.root
MS = 1_000_000
Ends = tuple[Attachment, Attachment]
without_netem_skipped = pytest.mark.skipif(
    "missing_features()", reason="this kernel lacks sch_netem or act_mirred"
)


@pytest.fixture
def ends(routers: tuple[NetNs, NetNs]) -> Ends:
    a, b = routers
    return Attachment(a, "up0", "10.9.0.1/30"), Attachment(b, "down0", "10.9.0.2/30")


def open_link(
    scope: Scope, ends: Ends, forward: Direction, reverse: Direction | None = None
) -> Link:
    return TcBackend().open(
        scope, LinkSpec("test", forward, reverse or Direction()), *ends, scope.tmp
    )


def udp(end: Attachment, port: int) -> socket.socket:
    with end.netns.inside():
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((end.address.split("/")[0], port))
    found.settimeout(20)  # an emulated machine may be busy with packets for seconds
    return found


def tc(end: Attachment, *arguments: str) -> str:
    with end.netns.inside():
        return subprocess.run(["tc", *arguments], check=True, capture_output=True, text=True).stdout


def receive(receiver: socket.socket) -> int:
    """Packets until none has come for 0.3 s."""
    receiver.settimeout(0.3)
    count = 0
    try:
        while True:
            receiver.recv(2000)
            count += 1
    except TimeoutError:
        return count


def test_the_qdiscs_are_as_asked(scope: Scope, ends: Ends) -> None:
    open_link(scope, ends, Direction(capacity=constant(12e6), queue=Queue(limit_bytes=60_000)))
    classes = tc(ends[0], "-d", "class", "show", "dev", "up0")
    assert "rate 12Mbit ceil 12Mbit" in classes
    assert "quantum 1514" in classes
    assert "burst 302" in classes  # two frames, to the kernel's clock
    assert "bfifo 10: parent 1:1 limit 60000b" in tc(ends[0], "qdisc", "show", "dev", "up0")
    assert "noqueue" in tc(ends[1], "qdisc", "show", "dev", "down0")
    assert not any(read_offloads(ends[0].netns, "up0").values())


def test_rate_and_queue_limit(scope: Scope, ends: Ends) -> None:
    # 20 packets take 0.2 s: a busy machine reads the backlog in time.
    forward = Direction(capacity=constant(8e5), queue=Queue(limit_bytes=20 * 1028))
    link = open_link(scope, ends, forward)
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000) as receiver:
        sender.sendto(b"resolve", ("10.9.0.2", 5000))
        receiver.recv(100)
        link.start(time.monotonic_ns())
        for _ in range(40):
            sender.sendto(bytes(1000), ("10.9.0.2", 5000))
        sample = link.sample().forward
        delivered = receive(receiver)
        after = link.sample().forward
    # 20 wait; up to three go at once and while the others are sent.
    assert 20 <= delivered < 40
    assert after.dropped_packets == sample.dropped_packets
    # The kernel's own neighbour discovery may be among the dropped.
    assert 0 <= after.dropped_packets - (40 - delivered) <= 2
    assert after.delivered_packets >= delivered
    assert after.backlog_bytes == 0
    assert sample.backlog_bytes > 0
    # Sizes are of IP packets: all but the resolved address's ARP packets and the first datagram
    # have 1028 bytes.
    assert 0 <= after.delivered_bytes - delivered * 1028 < 1000


def test_a_record_says_what_it_cannot_know(scope: Scope, ends: Ends) -> None:
    link = open_link(scope, ends, Direction(capacity=constant(8e6)))
    link.start(time.monotonic_ns())
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000):
        for _ in range(500):
            sender.sendto(bytes(1000), ("10.9.0.2", 5000))
        time.sleep(0.45)
    record = link.stop()
    assert not record.per_packet
    assert record.packets.equals(PACKET_SCHEMA.empty_table())
    assert any("no packet log" in warning for warning in record.warnings)
    assert len(record.forward.rate_error) >= 2
    assert record.forward.lateness_ns is not None
    with ends[0].netns.inside():
        assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_a_shaper_that_is_gone_is_an_error(scope: Scope, ends: Ends) -> None:
    link = open_link(scope, ends, Direction(capacity=constant(8e6)))
    tc(ends[0], "qdisc", "del", "dev", "up0", "root")
    link.start(time.monotonic_ns())
    time.sleep(0.3)
    with pytest.raises(UserError, match="up0: the rate could not be set"):
        link.stop()


@pytest.mark.skipif("not missing_features()", reason="this kernel has all that tc needs")
def test_a_kernel_without_netem_is_named(scope: Scope, ends: Ends) -> None:
    assert "sch_netem" in str(TcBackend().unavailable())
    with pytest.raises(UserError, match=r"tc qdisc add dev idown0 .*netem.*use the relay backend"):
        open_link(scope, ends, Direction(delay_ns=20 * MS))


@pytest.mark.netem
@without_netem_skipped
def test_available_with_netem() -> None:
    assert missing_features() == ()
    assert TcBackend().unavailable() is None


@pytest.mark.netem
@without_netem_skipped
def test_delay_of_both_directions(scope: Scope, ends: Ends) -> None:
    open_link(
        scope,
        ends,
        Direction(capacity=constant(12e6), delay_ns=50 * MS),
        Direction(delay_ns=30 * MS),
    )
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000) as receiver:
        sender.sendto(b"resolve", ("10.9.0.2", 5000))
        receiver.recv(100)
        before_ns = time.monotonic_ns()
        sender.sendto(b"there", ("10.9.0.2", 5000))
        receiver.recv(100)
        there_ns = time.monotonic_ns() - before_ns
        receiver.sendto(b"back", ("10.9.0.1", 40000))
        sender.recv(100)
        round_trip_ns = time.monotonic_ns() - before_ns
    assert there_ns >= 50 * MS
    assert round_trip_ns >= 80 * MS


@pytest.mark.netem
@without_netem_skipped
def test_delayed_packets_are_not_limited_by_netem(scope: Scope, ends: Ends) -> None:
    link = open_link(scope, ends, Direction(delay_ns=200 * MS))
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        sender.sendto(b"resolve", ("10.9.0.2", 5000))
        receiver.recv(100)
        for _ in range(3000):  # netem's default limit is 1000
            sender.sendto(bytes(1000), ("10.9.0.2", 5000))
        assert receive(receiver) == 3000
    assert link.sample().forward.dropped_packets == 0


@pytest.mark.netem
@without_netem_skipped
@pytest.mark.parametrize("loss", [Loss.random(0.2), Loss(p_good_bad=0.1, p_bad_good=0.4)])
def test_losses_have_their_rate(scope: Scope, ends: Ends, loss: Loss) -> None:
    link = open_link(scope, ends, Direction(loss=loss))
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        for _ in range(4000):
            sender.sendto(bytes(100), ("10.9.0.2", 5000))
        delivered = receive(receiver)
    # Both lose a fifth; netem's losses have no seed, so the bounds are five standard deviations,
    # doubled for bursts.
    assert 4000 * 0.8 - 250 < delivered < 4000 * 0.8 + 250
    assert abs(link.sample().forward.dropped_packets - (4000 - delivered)) <= 3
    assert any("do not follow the seed" in warning for warning in link.stop().warnings)
