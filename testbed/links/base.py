"""What an emulated link is, and what a link backend must do.

A direction of a link is, in this order: rate (a trace) with a byte-limited queue, loss, propagation
delay with optional jitter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.files import Verdict
from testbed.errors import UserError
from testbed.links.impairments import Loss, Policer, Reorder
from testbed.links.queues import Queue as Queue

if TYPE_CHECKING:
    from testbed.system.netns import NetNs
    from testbed.system.scope import Scope
    from traces.model import Trace

MAX_WIFI_NS = 91_000_000  # every access then meets retransmissions (relay/wifi.h)
FORWARD, REVERSE = 0, 1  # `link` column of a LinkRecord's packets
DELIVERED, TAIL_DROP, AQM_DROP, RANDOM_LOSS, IN_QUEUE, DUPLICATE, POLICED = Verdict

PACKET_SCHEMA = pa.schema(
    [
        pa.field("link", pa.uint8(), nullable=False),
        pa.field("flow", pa.int16(), nullable=False),
        pa.field("ack", pa.bool_(), nullable=False),
        pa.field("enqueue_ns", pa.int64(), nullable=False),
        pa.field("dequeue_ns", pa.int64()),
        pa.field("deliver_ns", pa.int64()),
        pa.field("size_bytes", pa.uint32(), nullable=False),
        pa.field("queue_bytes", pa.uint32(), nullable=False),
        pa.field("due_ns", pa.int64()),
        pa.field("verdict", pa.uint8(), nullable=False),
        pa.field("ecn", pa.uint8(), nullable=False),
        pa.field("marked", pa.bool_(), nullable=False),
        pa.field("protocol", pa.uint8(), nullable=False),
        pa.field("source", pa.uint32(), nullable=False),
        pa.field("destination", pa.uint32(), nullable=False),
        pa.field("source_port", pa.uint16(), nullable=False),
        pa.field("destination_port", pa.uint16(), nullable=False),
        pa.field("payload_bytes", pa.uint16(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Direction:
    """One direction of a link. Delays are one-way.

    The trace's own delay, if it has one, is added to `delay_ns`; its own loss is drawn
    independently of `loss`. Every packet's jitter is uniform in [0, jitter_ns]; packets
    overtake each other only where `reorder` holds some back. `duplicate`: chance of a second copy.
    `wifi_ns`: mean delay of access to a Wi-Fi medium, which packets take in aggregates; 0: none.
    """

    capacity: Trace | None = None  # None: unlimited
    queue: Queue = field(default_factory=Queue)
    delay_ns: int = 0
    jitter_ns: int = 0
    loss: Loss | None = None
    seed: int = 0
    reorder: Reorder = field(default_factory=Reorder)
    duplicate: float = 0.0
    policer: Policer = field(default_factory=Policer)
    wifi_ns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.wifi_ns <= MAX_WIFI_NS:
            raise UserError(f"wifi: {self.wifi_ns / 1e6:g} ms; the mean is at most 91 ms")
        if self.delay_ns < 0 or self.jitter_ns < 0:
            raise UserError(
                f"link: delay {self.delay_ns} ns and jitter {self.jitter_ns} ns must not be "
                "negative"
            )
        if not 0.0 <= self.duplicate <= 1.0:
            raise UserError(f"duplicate: {self.duplicate} is no probability; give 0 to 1")


@dataclass(frozen=True)
class LinkSpec:
    """A link between ends a and b; `forward` is a to b."""

    name: str
    forward: Direction
    reverse: Direction


@dataclass(frozen=True)
class Attachment:
    """One end of a link: the interface that the backend creates in a router's namespace."""

    netns: NetNs
    ifname: str  # 15 characters at most
    address: str  # with prefix length: "10.0.1.1/30", "fd00::1/126"


@dataclass(frozen=True)
class DirectionSample:
    """Counters of one direction since the link opened; bytes of IP packets. Dropped: tail, AQM and
    random.
    """

    offered_bytes: int
    delivered_bytes: int
    dropped_bytes: int
    backlog_bytes: int
    offered_packets: int
    delivered_packets: int
    dropped_packets: int


@dataclass(frozen=True)
class LinkSample:
    """A live reading of both directions at `at_ns` (CLOCK_MONOTONIC)."""

    at_ns: int
    forward: DirectionSample
    reverse: DirectionSample


@dataclass(frozen=True)
class Percentiles:
    """Median and 99th percentile of a quantity."""

    p50: float
    p99: float


@dataclass(frozen=True)
class DirectionRecord:
    """How truthfully one direction was emulated. None: nothing to judge by.

    `rate_error`: (delivered - capacity) / capacity of each stretch with a backlog throughout, of
    about 50 packets, less one packet's allowance (`measure.Windows`), float64[stretches].
    `lateness_ns`: by how much trace steps (tc) or packets (relay) were late. `delay_error_ns`:
    one-way delay added by the link, less what was asked.
    """

    rate_error: npt.NDArray[np.float64]
    lateness_ns: Percentiles | None
    delay_error_ns: Percentiles | None


@dataclass(frozen=True)
class LinkRecord:
    """What a link did, returned by Link.stop().

    `packets` follows PACKET_SCHEMA with `link` = FORWARD or REVERSE, sorted by enqueue_ns.
    `per_packet` is False where the backend cannot see packets; the table is then empty.
    `environment`: interface state read back, for the manifest.
    """

    backend: str
    packets: pa.Table
    per_packet: bool
    forward: DirectionRecord
    reverse: DirectionRecord
    cpu_s: float
    warnings: tuple[str, ...]
    environment: dict[str, str]

    def packets_numbered(self, first: int) -> pa.Table:
        """The packets with `link` counted from `first` (forward) on, for a file that holds several
        links.
        """
        column = np.asarray(self.packets["link"]).astype(np.uint8) + np.uint8(first)
        return self.packets.set_column(0, PACKET_SCHEMA.field("link"), pa.array(column, pa.uint8()))


class Link(Protocol):
    """An open link; packets pass from the moment it is opened."""

    def start(self, start_ns: int) -> None:
        """Sets the traces' time zero (CLOCK_MONOTONIC). Before it, capacity is that of time
        zero.
        """

    def sample(self) -> LinkSample:
        """Reads the live counters; cheap."""

    def stop(self) -> LinkRecord:
        """Ends the link and its interfaces and returns its record. Call once, before the scope
        ends.
        """


class LinkBackend(Protocol):
    """A way of emulating links."""

    name: str

    def unavailable(self) -> str | None:
        """Why it cannot run here, with the remedy; None if it can."""

    def open(
        self, scope: Scope, spec: LinkSpec, a: Attachment, b: Attachment, log_dir: Path
    ) -> Link:
        """Creates both interfaces in their namespaces (address, MTU, offloads off) and lets packets
        pass.

        Raises UserError if the link cannot be emulated as asked.
        """
