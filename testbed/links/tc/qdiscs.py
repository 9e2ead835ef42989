"""The qdiscs of a tc link: HTB and bfifo where packets leave one end, netem on an ifb where they
reach the other.

Set up once through the `tc` program; changed and read while the link runs through one netlink
socket.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from pyroute2 import IPRoute
from pyroute2.netlink import nla

from testbed.errors import UserError
from testbed.links.base import Attachment, Direction, DirectionSample
from testbed.links.impairments import Loss

ETHERNET_BYTES = 14
FRAME_BYTES = 1514
# Two packets: HTB sends that much at once at most, so that bursts cannot teach a sender a false
# bandwidth.
BURST_BYTES = 2 * FRAME_BYTES
MIN_RATE_BPS = 1000.0  # HTB knows no zero; below, the time of a burst no longer fits its 32 bits
NETEM_LIMIT_PACKETS = 10_000_000  # netem's own queue must never drop
# Behind netem, which waits when it is full. Debian's 6.12 allows no more.
IFB_QUEUE_PACKETS = 32_767

_ROOT, _CLASS, _FIFO = 0x10000, 0x10001, 0x100000


def tc(end: Attachment, *arguments: str) -> None:
    """Runs `tc` in the end's namespace. Raises UserError with its message."""
    with end.netns.inside():
        done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise UserError(f"tc {' '.join(arguments)}: {reason}; use the relay backend instead")


def set_up_rate(end: Attachment, direction: Direction, rate_bps: float) -> None:
    """The bottleneck in front of what leaves `end`. Sizes are of IP packets: stab takes the
    Ethernet header off.
    """
    dev = end.ifname
    tc(
        end,
        *f"qdisc add dev {dev} stab overhead -{ETHERNET_BYTES} root handle 1:".split(),
        *["htb", "default", "1"],
    )
    tc(
        end,
        *f"class add dev {dev} parent 1: classid 1:1 htb rate {_rate(rate_bps)}bps "
        f"burst {BURST_BYTES} "
        f"cburst {BURST_BYTES} quantum {FRAME_BYTES}".split(),
    )
    tc(
        end,
        *f"qdisc add dev {dev} parent 1:1 handle 10: bfifo".split(),
        *f"limit {direction.queue.limit_bytes}".split(),
    )


def set_up_delay(end: Attachment, direction: Direction) -> str | None:
    """Delay and loss of what reaches `end`; returns the ifb's name, None if neither is asked
    for.
    """
    if not direction.delay_ns and not direction.loss:
        return None
    ifb = f"i{end.ifname}"[:15]
    with end.netns.inside(), IPRoute() as ip:
        ip.link("add", ifname=ifb, kind="ifb", txqlen=IFB_QUEUE_PACKETS)
        ip.link("set", index=ip.link_lookup(ifname=ifb)[0], state="up")
    netem = f"qdisc add dev {ifb} root handle 1: netem limit {NETEM_LIMIT_PACKETS}"
    if direction.delay_ns:
        netem += f" delay {direction.delay_ns / 1000:.3f}us"
    if direction.loss:
        netem += f" {_netem_loss(direction.loss)}"
    tc(end, *netem.split())
    tc(end, *f"qdisc add dev {end.ifname} ingress".split())
    tc(
        end,
        *f"filter add dev {end.ifname} parent ffff: matchall".split(),
        *f"action mirred egress redirect dev {ifb}".split(),
    )
    return ifb


def _netem_loss(loss: Loss) -> str:
    if not loss.p_good_bad:
        return f"loss random {loss.loss_good:.9%}"
    # netem's p, r, 1-h, 1-k
    return (
        f"loss gemodel {loss.p_good_bad:.9%} {loss.p_bad_good:.9%} {loss.loss_bad:.9%} "
        f"{loss.loss_good:.9%}"
    )


def _rate(rate_bps: float) -> int:
    """In bytes per second."""
    return round(max(rate_bps, MIN_RATE_BPS) / 8)


@dataclass(frozen=True)
class Shaper:
    """The bottleneck at the end whose interface has this index, through an open netlink socket in
    its namespace.
    """

    ip: IPRoute
    index: int

    def change(self, rate_bps: float) -> None:
        """Sets the rate; the queue stays."""
        self.ip.tc(
            "change-class",
            "htb",
            self.index,
            _CLASS,
            parent=_ROOT,
            rate=_rate(rate_bps),
            burst=BURST_BYTES,
            cburst=BURST_BYTES,
            quantum=FRAME_BYTES,
        )

    def read(self) -> DirectionSample:
        """Counters of the bottleneck."""
        return _read(self.ip, self.index)


def read_interface(end: Attachment, ifname: str) -> DirectionSample:
    """Counters of an interface in the end's namespace: those of its bottleneck or netem, else its
    own.
    """
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=ifname)
        return _read(ip, index)


def _read(ip: IPRoute, index: int) -> DirectionSample:
    found = {
        message["handle"]: message.get_attr("TCA_STATS2") for message in ip.get_qdiscs(index=index)
    }
    if (stats := found.get(_FIFO)) is not None:
        return _sample(stats, header_bytes=0)  # stab has taken the header off
    if (stats := found.get(_ROOT)) is not None:
        return _sample(stats, header_bytes=ETHERNET_BYTES)
    (link,) = ip.get_links(index)
    own = link.get_attr("IFLA_STATS64")
    size_bytes = own["tx_bytes"] - ETHERNET_BYTES * own["tx_packets"]
    return DirectionSample(size_bytes, size_bytes, 0, 0, own["tx_packets"], own["tx_packets"], 0)


def _sample(stats: nla, header_bytes: int) -> DirectionSample:
    basic, queue = stats.get_attr("TCA_STATS_BASIC"), stats.get_attr("TCA_STATS_QUEUE")
    packets, drops = basic["packets"], queue["drops"]
    return DirectionSample(
        offered_bytes=0,  # the kernel does not count the bytes it drops
        delivered_bytes=basic["bytes"] - header_bytes * packets,
        dropped_bytes=0,
        backlog_bytes=queue["backlog"],
        offered_packets=packets + drops + queue["qlen"],
        delivered_packets=packets,
        dropped_packets=drops,
    )
