"""The `tc` backend: kernel qdiscs between two ends of a veth pair. Less exact than the relay; see
docs/reference/links.md.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from testbed.errors import UserError
from testbed.links import interfaces
from testbed.links.base import (
    PACKET_SCHEMA,
    Attachment,
    Direction,
    DirectionRecord,
    DirectionSample,
    Link,
    LinkRecord,
    LinkSample,
    LinkSpec,
)
from testbed.links.measure import MAX_UNTRUE_ERROR, percentiles
from testbed.links.tc.player import WINDOW_NS, Played, Player, first_rate_bps
from testbed.links.tc.probe import missing_features
from testbed.links.tc.qdiscs import read_interface, set_up_delay, set_up_rate

if TYPE_CHECKING:
    from testbed.system.scope import Scope
    from traces.model import Trace

VETH_QUEUE_PACKETS = (
    1000  # of the device itself; HTB stands in front of it and veth never makes it wait
)


class TcBackend:
    """Links by HTB, bfifo and netem."""

    name = "tc"

    def unavailable(self) -> str | None:
        if os.geteuid() != 0:
            return "needs root; run with sudo."
        if shutil.which("tc") is None:
            return "the tc program is missing; install iproute2."
        if missing := missing_features():
            return (
                f"the kernel has no {', '.join(missing)}; install its extra modules "
                f"(on Ubuntu 'apt install linux-modules-extra-{os.uname().release}') or use the "
                "relay backend."
            )
        return None

    def open(
        self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
    ) -> Link:
        for label, direction in (("forward", spec.forward), ("reverse", spec.reverse)):
            _refuse_unsupported(f"link {spec.name}, {label}", direction)
        interfaces.open_veth(a, b, VETH_QUEUE_PACKETS)
        return TcLink(scope, spec, a, b)


def _refuse_unsupported(where: str, direction: Direction) -> None:
    """Raises UserError for what kernel qdiscs can do only wrongly."""
    steps = direction.capacity.steps if direction.capacity else None
    reason = None
    if direction.queue.kind != "droptail":
        reason = "the kernel's AQMs limit packets, not bytes"
    elif direction.jitter_ns:
        reason = "netem's jitter reorders packets"
    elif direction.policer.rate_bps or direction.wifi_ns:
        reason = "it has neither policer nor Wi-Fi"
    elif direction.reorder.chance or direction.duplicate:
        reason = "its reordering and duplication follow no seed"
    elif steps and (steps.delay_ns is not None or steps.loss is not None):
        reason = "it cannot replay the trace's delay and loss"
    if reason:
        raise UserError(
            f"{where}: the tc backend cannot emulate this: {reason}; use the relay backend"
        )


@dataclass(frozen=True)
class _Side:
    """One direction: where it leaves, where it arrives, and what is in between."""

    direction: Direction
    leaves: Attachment
    arrives: Attachment
    player: Player | None
    ifb: str | None

    def read(self) -> DirectionSample:
        """Counters from end to end. The kernel counts drops in packets only: their bytes are taken
        as full packets.
        """
        sent = read_interface(self.leaves, self.leaves.ifname)
        passed = read_interface(self.arrives, self.ifb) if self.ifb else sent
        lost = passed.dropped_packets if self.ifb else 0
        dropped_bytes = (sent.dropped_packets + lost) * interfaces.MTU_BYTES
        return DirectionSample(
            offered_bytes=sent.delivered_bytes
            + sent.backlog_bytes
            + sent.dropped_packets * interfaces.MTU_BYTES,
            delivered_bytes=passed.delivered_bytes,
            dropped_bytes=dropped_bytes,
            backlog_bytes=sent.backlog_bytes,
            offered_packets=sent.offered_packets,
            delivered_packets=passed.delivered_packets,
            dropped_packets=sent.dropped_packets + lost,
        )

    def record(self) -> DirectionRecord:
        played = self.player.played if self.player else Played()
        return DirectionRecord(
            played.rate_error(), percentiles(np.asarray(played.lateness_ns)), None
        )


class TcLink:
    """A link of kernel qdiscs. It exists as long as its namespaces."""

    def __init__(self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment) -> None:
        self._spec = spec
        self._sides = [
            self._side(scope, direction, leaves, arrives)
            for direction, leaves, arrives in ((spec.forward, a, b), (spec.reverse, b, a))
        ]
        self._environment = {end.ifname: interfaces.describe(end) for end in (a, b)}

    @staticmethod
    def _side(scope: Scope, direction: Direction, leaves: Attachment, arrives: Attachment) -> _Side:
        player = None
        if direction.capacity is not None:
            player = Player(leaves, direction.capacity)
            scope.callback(player.stop)
            set_up_rate(leaves, direction, first_rate_bps(direction.capacity))
        return _Side(direction, leaves, arrives, player, set_up_delay(arrives, direction))

    def start(self, start_ns: int) -> None:
        for side in self._sides:
            if side.player:
                side.player.play(start_ns)

    def sample(self) -> LinkSample:
        self._check()
        forward, reverse = (side.read() for side in self._sides)
        return LinkSample(time.monotonic_ns(), forward, reverse)

    def stop(self) -> LinkRecord:
        self._check()
        cpu_s = 0.0
        for side in self._sides:
            if side.player:
                side.player.stop()
                side.player.check()
                cpu_s += side.player.cpu_s
        forward, reverse = (side.record() for side in self._sides)
        interfaces.remove(self._sides[0].leaves)
        return LinkRecord(
            backend=TcBackend.name,
            packets=PACKET_SCHEMA.empty_table(),
            per_packet=False,
            forward=forward,
            reverse=reverse,
            cpu_s=cpu_s,
            warnings=tuple(self._doubts(forward, reverse)),
            environment=self._environment,
        )

    def _check(self) -> None:
        for side in self._sides:
            if side.player:
                side.player.check()

    def _doubts(self, forward: DirectionRecord, reverse: DirectionRecord) -> Iterator[str]:
        yield "tc keeps no packet log: delays and queueing are not measured"
        for label, side, record in zip(
            ("forward", "reverse"), self._sides, (forward, reverse), strict=True
        ):
            trace = side.direction.capacity
            if trace is not None and changes_faster_than(trace, WINDOW_NS):
                yield (
                    f"{label}: the trace changes more often than ten times a second; tc replayed "
                    "100 ms means"
                )
            if len(record.rate_error) and np.median(np.abs(record.rate_error)) > MAX_UNTRUE_ERROR:
                error = np.median(np.abs(record.rate_error))
                yield (
                    f"{label}: half of the stretches with a backlog were off the trace by more "
                    "than "
                    f"{error:.0%}"
                )
            if side.direction.loss:
                yield f"{label}: netem's losses do not follow the seed"


def changes_faster_than(trace: Trace, interval_ns: int) -> bool:
    """Whether tc has to merge changes of the trace."""
    if trace.opportunities is not None:
        return True
    assert trace.steps is not None
    return bool(np.any(np.diff(trace.steps.start_ns) < interval_ns))
