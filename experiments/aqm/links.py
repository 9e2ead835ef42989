"""The same bottleneck twice: the relay's, and the kernel's own qdisc behind a token bucket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.aqm.load import PACKET_BYTES
from testbed.links import interfaces
from testbed.links.base import Attachment, Direction, LinkSpec, Queue
from testbed.links.queues import QueueKind
from testbed.links.relay.backend import RelayBackend
from testbed.system.netns import NetNs
from testbed.system.scope import Scope
from traces.model import constant

LIMIT_PACKETS = 1000
RECEIVER = "10.9.0.2"
Ends = tuple[NetNs, NetNs, str]
_ETHERNET_BYTES = 14
_TXQLEN = 1000
_RTM_NEWQDISC, _TCA_KIND = 36, 1  # linux/rtnetlink.h
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 1, 4, 0x200, 0x400  # linux/netlink.h
# So many that no two of the load's flows meet in one: the kernel draws its hash at every start.
_FQ_FLOWS = 65_536
# The kernel counts PIE's tupdate in ticks of 4 ms here: 15 ms are four of them, and a timer that is
# set in the middle of a tick takes one more (calc_index in kernel/time/timer.c).
_AS_THE_GUEST: dict[QueueKind, dict[str, int]] = {
    "pie": {"tupdate_ns": 20_000_000},
    "fq_codel": {"flows": _FQ_FLOWS},
}


@contextmanager
def relay(kind: QueueKind, rate_bps: float, *, ecn: bool) -> Iterator[Ends]:
    """The relay's discipline. Yields what `load` takes."""
    with Scope() as scope:
        a, b = _hosts(scope)
        queue = Queue.of(kind, LIMIT_PACKETS * PACKET_BYTES, _AS_THE_GUEST.get(kind, {}), ecn=ecn)
        forward = Direction(capacity=constant(rate_bps), queue=queue)
        link = RelayBackend().open(scope, LinkSpec("aqm", forward, Direction()), a, b, scope.tmp)
        link.start(0)
        yield a.netns, b.netns, RECEIVER
        link.stop()


@contextmanager
def kernel(kind: QueueKind, rate_bps: float, *, ecn: bool) -> Iterator[Ends]:
    """The kernel's, below tbf, which takes the next packet from it as soon as the one before has
    left, as the relay does.
    """
    with Scope() as scope:
        a, b = _hosts(scope)
        interfaces.open_veth(a, b, _TXQLEN)
        # The kernel counts frames, the relay packets of IP: as many of both in a second.
        frame_bytes = PACKET_BYTES + _ETHERNET_BYTES
        frames_bps = rate_bps * frame_bytes / PACKET_BYTES
        _tc(
            a.netns,
            f"qdisc add dev {a.ifname} root handle 1: tbf rate {frames_bps:.0f}bit "
            f"burst {frame_bytes} latency 10s",
        )
        if kind == "dualpi2":
            _add_by_netlink(a, kind)  # with its defaults; older versions of tc do not know it
        else:
            options = f"limit {LIMIT_PACKETS} {'ecn' if ecn else 'noecn'}"
            if kind == "fq_codel":
                options += f" flows {_FQ_FLOWS}"
            _tc(a.netns, f"qdisc add dev {a.ifname} parent 1:1 handle 10: {kind} {options}")
        yield a.netns, b.netns, RECEIVER


def _hosts(scope: Scope) -> tuple[Attachment, Attachment]:
    return (
        Attachment(scope.enter(NetNs.create()), "aqm-a", "10.9.0.1/30"),
        Attachment(scope.enter(NetNs.create()), "aqm-b", f"{RECEIVER}/30"),
    )


def _tc(netns: NetNs, arguments: str) -> None:
    with netns.inside():
        done = subprocess.run(["tc", *arguments.split()], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"tc {arguments}: {done.stderr.strip()}")


def _add_by_netlink(end: Attachment, kind: str) -> None:
    """As tc would, with no option: pyroute2 knows none of this kind either."""
    with end.netns.inside():
        index = socket.if_nametoindex(end.ifname)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    name = kind.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(name), _TCA_KIND) + name
    body = struct.pack("=BxxxiIII", 0, index, 0x100000, 0x10001, 0) + attribute
    body += bytes(-len(body) % 4)
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_EXCL | _NLM_F_CREATE
    with netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(body), _RTM_NEWQDISC, flags, 1, 0) + body)
        (number,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if number:
        raise RuntimeError(f"the kernel refuses {kind}: {os.strerror(-number)}")
