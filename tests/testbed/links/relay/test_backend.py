"""The relay between two real namespaces."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from testbed.errors import UserError
from testbed.links.base import (
    DELIVERED,
    IN_QUEUE,
    TAIL_DROP,
    Attachment,
    Direction,
    Link,
    LinkSpec,
    Queue,
)
from testbed.links.relay.backend import PROGRAM, RelayBackend
from testbed.system.netns import NetNs
from testbed.system.scope import Scope
from traces.forms import Steps
from traces.model import Trace, constant

pytestmark = pytest.mark.root
MS = 1_000_000
Ends = tuple[Attachment, Attachment]


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    subprocess.run(["make", "--silent", "-C", PROGRAM.parent], check=True)


@pytest.fixture
def ends(routers: tuple[NetNs, NetNs]) -> Ends:
    a, b = routers
    return Attachment(a, "up0", "10.9.0.1/30"), Attachment(b, "down0", "10.9.0.2/30")


def open_link(
    scope: Scope, ends: Ends, forward: Direction, reverse: Direction | None = None
) -> Link:
    spec = LinkSpec("test", forward, reverse or Direction())
    return RelayBackend().open(scope, spec, *ends, scope.tmp)


def udp(end: Attachment, port: int) -> socket.socket:
    with end.netns.inside():
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((end.address.split("/")[0], port))
    found.settimeout(3)
    return found


def test_available_here() -> None:
    assert RelayBackend().unavailable() is None


def test_packets_pass_both_ways_delayed_and_logged(scope: Scope, ends: Ends) -> None:
    link = open_link(
        scope,
        ends,
        Direction(capacity=constant(100e6), delay_ns=20 * MS),
        Direction(delay_ns=10 * MS),
    )
    link.start(time.monotonic_ns())
    with udp(ends[0], 40002) as sender, udp(ends[1], 5002) as receiver:
        before_ns = time.monotonic_ns()
        for number in range(50):
            sender.sendto(bytes([number]) * 1000, ("10.9.0.2", 5002))
        assert [receiver.recv(2000) for _ in range(50)] == [
            bytes([number]) * 1000 for number in range(50)
        ]
        receiver.sendto(b"back", ("10.9.0.1", 40002))
        assert sender.recv(2000) == b"back"
        assert time.monotonic_ns() - before_ns >= 30 * MS
    sample = link.sample()
    record = link.stop()

    own = record.packets.filter(pc.equal(record.packets["flow"], 2))
    data, acks = (own.filter(pc.equal(own["ack"], ack)) for ack in (False, True))
    assert data["size_bytes"].to_pylist() == [1028] * 50
    assert set(data["link"].to_pylist()) == {0}
    assert set(data["verdict"].to_pylist()) == {DELIVERED}
    enqueue_ns, dequeue_ns, deliver_ns, due_ns = (
        data[name].to_numpy() for name in ("enqueue_ns", "dequeue_ns", "deliver_ns", "due_ns")
    )
    assert (enqueue_ns < due_ns).all()
    assert (due_ns <= dequeue_ns).all()
    assert (deliver_ns - dequeue_ns == 20 * MS).all()
    assert np.all(np.diff(due_ns) >= 1028 * 8 * 10 - 1)  # 100 Mbit/s: 10 ns a bit
    assert acks["link"].to_pylist() == [1]
    assert (acks["deliver_ns"].to_numpy() - acks["dequeue_ns"].to_numpy() == 10 * MS).all()

    assert sample.forward.delivered_packets >= 50
    assert sample.forward.offered_bytes == sample.forward.delivered_bytes >= 50 * 1028
    assert sample.reverse.dropped_packets == 0
    assert record.cpu_s > 0
    assert record.per_packet
    assert (
        record.environment["up0"]
        == "up0 mtu 1500 txqueuelen 10000 qdisc noqueue segmentation offloads off"
    )


def test_ipv6_flows_are_known_too(scope: Scope, routers: tuple[NetNs, NetNs]) -> None:
    ends = (
        Attachment(routers[0], "up0", "fd00:9::1/64"),
        Attachment(routers[1], "down0", "fd00:9::2/64"),
    )
    for end in ends:
        with end.netns.inside():
            Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    link = open_link(scope, ends, Direction(capacity=constant(100e6)))
    with ends[0].netns.inside():
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with ends[1].netns.inside():
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with sender, receiver:
        sender.bind(("fd00:9::1", 40007))
        receiver.bind(("fd00:9::2", 5007))
        receiver.settimeout(3)
        sender.sendto(bytes(1000), ("fd00:9::2", 5007))
        assert receiver.recv(2000) == bytes(1000)
    packets = link.stop().packets
    assert packets.filter(pc.equal(packets["flow"], 7))["size_bytes"].to_pylist() == [1048]


def test_a_full_queue_drops_and_an_outage_keeps_it(scope: Scope, ends: Ends) -> None:
    outage = Trace("outage", None, Steps(np.array([0, 1]), np.array([8e6, 0.0])))
    link = open_link(scope, ends, Direction(capacity=outage, queue=Queue(limit_bytes=5 * 1028)))
    link.start(time.monotonic_ns())
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000) as receiver:
        receiver.settimeout(0.3)
        for _ in range(8):
            sender.sendto(bytes(1000), ("10.9.0.2", 5000))
        with pytest.raises(TimeoutError):
            receiver.recv(2000)
    sample = link.sample().forward
    assert sample.dropped_packets >= 3
    assert sample.backlog_bytes >= 4 * 1028
    packets = link.stop().packets
    own = packets.filter(pc.equal(packets["flow"], 0))
    verdicts = own["verdict"].to_pylist()
    assert set(verdicts) == {IN_QUEUE, TAIL_DROP}
    assert verdicts == sorted(verdicts, key=lambda verdict: verdict == TAIL_DROP)
    assert own["dequeue_ns"].null_count == 8


def test_the_rate_is_that_of_the_trace(scope: Scope, ends: Ends) -> None:
    link = open_link(
        scope, ends, Direction(capacity=constant(12e6), queue=Queue(limit_bytes=10**7))
    )
    zero_ns = time.monotonic_ns()
    link.start(zero_ns)
    with udp(ends[0], 40000) as sender, udp(ends[1], 5000):
        for _ in range(400):
            sender.sendto(bytes(1472), ("10.9.0.2", 5000))
        while (now := link.sample().forward).delivered_packets < 400 or now.backlog_bytes > 0:
            time.sleep(0.01)
    record = link.stop()
    packets = record.packets.filter(pc.equal(record.packets["flow"], 0))
    assert len(packets) == 400
    due_ns, enqueue_ns = packets["due_ns"].to_numpy(), packets["enqueue_ns"].to_numpy()
    # The trace's own time, free of the machine's: 1500 bytes a millisecond. Where the sender was
    # kept waiting, the queue was empty for a while.
    gaps_ns, stood = np.diff(due_ns), enqueue_ns[1:] <= due_ns[:-1]
    assert stood.any()
    assert set(gaps_ns[stood]) == {MS}
    assert not (gaps_ns % MS).any()
    assert gaps_ns.min() >= MS
    assert len(record.forward.rate_error) >= 2


def test_segments_pass_one_by_one(scope: Scope, ends: Ends) -> None:
    """A TCP sender's 64 kB segments are cut before they reach the queue."""
    link = open_link(scope, ends, Direction(delay_ns=MS), Direction(delay_ns=MS))
    with ends[1].netns.inside():
        server = socket.create_server(("10.9.0.2", 5001))
    with ends[0].netns.inside():
        client = socket.socket()
    client.bind(("10.9.0.1", 40001))
    client.settimeout(3)
    client.connect(("10.9.0.2", 5001))
    accepted, _ = server.accept()
    with client, accepted, server:
        for _ in range(20):
            client.sendall(bytes(25_000))
            left = 25_000
            while left:
                left -= len(accepted.recv(left))
    packets = link.stop().packets
    sizes = packets.filter(pc.and_(pc.equal(packets["flow"], 1), pc.invert(packets["ack"])))[
        "size_bytes"
    ]
    assert pc.max(sizes).as_py() == 1500
    assert len(sizes) >= 500_000 // 1448


def test_nothing_is_left_after_stop(scope: Scope, ends: Ends) -> None:
    link = open_link(scope, ends, Direction())
    link.stop()
    for end in ends:
        with end.netns.inside():
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
    assert list(scope.tmp.glob("*.packets")) == []


def test_a_killed_relay_is_an_error_not_a_quiet_link(scope: Scope, ends: Ends) -> None:
    link = open_link(scope, ends, Direction())
    link._process.stop()  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="link test: something has ended the relay"):
        link.sample()
    with pytest.raises(UserError, match="link test: something has ended the relay"):
        link.stop()


def test_a_full_disk_ends_the_link_with_a_message(scope: Scope, ends: Ends, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tbtest", small], check=True)
    try:
        link = RelayBackend().open(scope, LinkSpec("test", Direction(), Direction()), *ends, small)
        with udp(ends[0], 40000) as sender:
            for _ in range(600):
                sender.sendto(b"x", ("10.9.0.2", 5000))
        deadline = time.monotonic() + 30
        while link._process.poll() is None and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.02)
        with pytest.raises(
            UserError, match=r"cannot write the packet log .*No space left on device"
        ):
            link.sample()
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_name_that_is_taken_is_an_error(scope: Scope, ends: Ends) -> None:
    open_link(scope, ends, Direction())
    with pytest.raises(UserError, match="cannot create the interface up0"):
        RelayBackend().open(scope, LinkSpec("other", Direction(), Direction()), *ends, scope.tmp)
