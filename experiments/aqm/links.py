"""The same bottleneck twice: the relay's, and the kernel's own qdisc behind a token bucket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import IPRoute, NetlinkError

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
# The kernel counts PIE's tupdate in ticks, 15 ms being four of the guest's 4 ms.
_AS_THE_GUEST: dict[QueueKind, dict[str, int]] = {"pie": {"tupdate_ns": 16_000_000}}


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
        _tc(
            a.netns,
            f"qdisc add dev {a.ifname} stab overhead -{_ETHERNET_BYTES} root handle 1: tbf rate "
            f"{rate_bps:.0f}bit burst {PACKET_BYTES} latency 10s",
        )
        if kind == "dualpi2":
            _add_by_netlink(a, kind)  # with its defaults; older versions of tc do not know it
        else:
            options = f"limit {LIMIT_PACKETS} {'ecn' if ecn else 'noecn'}"
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
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=end.ifname)
        try:
            ip.tc("add", kind, index, handle=0x100000, parent=0x10001)
        except NetlinkError as error:
            raise RuntimeError(f"the kernel refuses {kind}: {error}") from error
