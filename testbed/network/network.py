"""A built network as the rest of the testbed sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from testbed.links.base import Attachment, Link, LinkSpec, Queue
from testbed.links.impairments import Loss, Policer, Reorder
from testbed.network.ping import ECHO_BYTES, MIN_INTERVAL_S, PingFailed, ping_pairs
from testbed.network.routing import Routing
from testbed.system.netns import NetNs
from traces.model import Trace

# Below this rate not one echo passes while we wait; the few that are sent wait in the queue.
_OUTAGE_BPS = 100
_OUTAGE_INTERVAL_S = 1.0


@dataclass(frozen=True)
class ReturnPath:
    """What a run asks of bottleneck links against the data direction; unlimited without it."""

    capacity: Trace | None = None
    queue: Queue = field(default_factory=Queue)
    loss: Loss | None = None


@dataclass(frozen=True)
class Bottleneck:
    """What a run asks of bottleneck links, in the data direction and against it. Every link draws
    its own seeds from ``seed``.
    """

    capacity: Trace
    queue: Queue
    loss: Loss | None = None
    jitter_ns: int = 0
    seed: int = 0
    reverse: ReturnPath = field(default_factory=ReturnPath)
    reorder: Reorder = field(default_factory=Reorder)
    duplicate: float = 0.0
    policer: Policer = field(default_factory=Policer)
    wifi_ns: int = 0
    ecn: bool = False  # hosts negotiate ECN
    sysctls: Mapping[str, str] = field(default_factory=dict)  # of the hosts
    ipv6: bool = False  # hosts and routers have IPv6 addresses instead of IPv4 ones


@dataclass(frozen=True)
class Host:
    """An end host."""

    name: str
    netns: NetNs
    address: str


@dataclass(frozen=True)
class OpenLink:
    """An emulated link in use. ``index`` counts emulated links in the network's order."""

    index: int
    name: str
    bottleneck: bool
    spec: LinkSpec
    link: Link
    a: Attachment
    b: Attachment


@dataclass(frozen=True)
class PathLink:
    """An emulated link on a path, and whether the path takes it from its a to its b."""

    name: str
    forward: bool


@dataclass(frozen=True)
class Pair:
    """Two hosts between which data flows. Delays are what the links on the path were asked to add,
    one-way.
    """

    index: int
    sender: Host
    receiver: Host
    role: Literal["measured", "cross"]
    forward_delay_ns: int  # sender to receiver
    reverse_delay_ns: int
    path: tuple[PathLink, ...]  # emulated links from sender to receiver
    bottleneck: str | None  # the first bottleneck that its data passes: where the pair is measured
    back: tuple[PathLink, ...] = ()  # emulated links from receiver to sender
    back_bottleneck: str | None = None  # the first bottleneck on the way back

    def turned(self) -> Pair:
        """The pair for a flow from its receiver to its sender."""
        return replace(
            self,
            sender=self.receiver,
            receiver=self.sender,
            forward_delay_ns=self.reverse_delay_ns,
            reverse_delay_ns=self.forward_delay_ns,
            path=self.back,
            bottleneck=self.back_bottleneck,
            back=self.path,
            back_bottleneck=self.bottleneck,
        )

    @property
    def base_rtt_ns(self) -> int:
        """Propagation alone."""
        return self.forward_delay_ns + self.reverse_delay_ns


@dataclass(frozen=True)
class PairCheck:
    """An idle ping between a pair. ``rtt_ns`` is the smallest of three, None where an outage kept
    it from passing.
    """

    pair: int
    rtt_ns: int | None
    base_rtt_ns: int


@dataclass(frozen=True)
class Network:
    """Namespaces, links and routes, ready for traffic. It ends with the scope it was built in."""

    hosts: dict[str, Host]
    routers: dict[str, NetNs]
    pairs: list[Pair]
    links: dict[str, OpenLink]  # emulated links by name
    environment: dict[
        str, Any
    ]  # for the manifest, as read back: sysctls, interfaces and offloads per node
    routing: Routing = field(default_factory=Routing)

    def check(self, timeout_s: float = 3.0) -> list[PairCheck]:
        """Ping every pair, before anything has started. Raises UserError if one cannot be
        reached.
        """
        interval_s = self._echo_interval_s()
        answers = ping_pairs(
            [
                (pair.sender.netns, pair.sender.address, pair.receiver.address)
                for pair in self.pairs
            ],
            timeout_s=timeout_s
            + 3 * interval_s
            + max((pair.base_rtt_ns for pair in self.pairs), default=0) / 1e9,
            interval_s=interval_s,
        )
        checks = []
        for pair, rtt_ns in zip(self.pairs, answers, strict=True):
            if rtt_ns is None and not self._outage_at_zero(pair):
                raise PingFailed(
                    f"{pair.receiver.name} cannot be reached from {pair.sender.name}: no echo came "
                    "back"
                )
            checks.append(PairCheck(pair.index, rtt_ns, pair.base_rtt_ns))
        return checks

    def _echo_interval_s(self) -> float:
        """Time between echoes that leaves the slowest link idle half of the time.

        At 1 kbit/s an echo takes half a second, and a queue of them would delay the traffic.
        """
        slowest_bps = min(
            (
                _bps_at_zero(direction.capacity)
                for opened in self.links.values()
                for direction in (opened.spec.forward, opened.spec.reverse)
                if direction.capacity is not None
            ),
            default=math.inf,
        )
        if slowest_bps < _OUTAGE_BPS:
            return _OUTAGE_INTERVAL_S
        return max(MIN_INTERVAL_S, 2 * len(self.pairs) * ECHO_BYTES * 8 / slowest_bps)

    def _outage_at_zero(self, pair: Pair) -> bool:
        """Before its time zero a link has the capacity of time zero, which a trace may begin
        without.
        """
        for step in pair.path:
            spec = self.links[step.name].spec
            for direction in (spec.forward, spec.reverse):
                steps = direction.capacity.steps if direction.capacity else None
                if steps is not None and steps.capacity_bps[0] < 10_000:
                    return True
        return False


def _bps_at_zero(trace: Trace) -> float:
    """Capacity before time zero, when links are pinged: that of the first step, or the mean of
    opportunities.
    """
    return float(trace.steps.capacity_bps[0]) if trace.steps is not None else trace.mean_bps()
