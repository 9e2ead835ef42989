"""What the packet log says of a bottleneck: its queue, and what reached it when. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_COPY = 5
_NEVER_QUEUED = (1, 2, 5)  # verdicts: tail drop, AQM drop, a copy made behind the queue


class _Counter:
    """Cumulative bytes of events in time."""

    def __init__(self, at_ns: Ints, size_bytes: Ints) -> None:
        order = np.argsort(at_ns, kind="stable")
        self._at_ns = at_ns[order]
        self._total = np.concatenate(([0], np.cumsum(size_bytes[order])))

    def until(self, at_ns: Ints) -> Floats:
        """Bytes up to and including each time."""
        total: Floats = self._total[np.searchsorted(self._at_ns, at_ns, side="right")].astype(
            np.float64
        )
        return total


class BottleneckLog:
    """Packets of one link direction, as `packets.parquet` has them.

    Packets that an AQM drops count as never queued: when they left is not logged.
    """

    def __init__(self, packets: pa.Table, link: int) -> None:
        here = packets.filter(pc.equal(packets["link"], link))
        columns = {name: here[name].to_numpy() for name in ("enqueue_ns", "size_bytes", "verdict")}
        size = columns["size_bytes"].astype(np.int64)
        kept = ~np.isin(columns["verdict"], _NEVER_QUEUED)
        left = pc.fill_null(here["dequeue_ns"], -1).to_numpy()
        gone = kept & (left >= 0)
        own = columns["verdict"] != _COPY
        self._arrived = _Counter(columns["enqueue_ns"][own], size[own])
        self._entered = _Counter(columns["enqueue_ns"][kept], size[kept])
        self._left = _Counter(left[gone], size[gone])

    def queue_bytes(self, at_ns: Ints) -> Floats:
        """Backlog at each time."""
        return self._entered.until(at_ns) - self._left.until(at_ns)

    def arriving_bytes(self, from_ns: Ints, to_ns: Ints) -> Floats:
        """What reached the link in (from, to], dropped or not."""
        return self._arrived.until(to_ns) - self._arrived.until(from_ns)


def upstream_delay_ns(
    packets: pa.Table, flow: int, bottleneck: int, delay_of: dict[int, int]
) -> int:
    """Propagation from the sender to the bottleneck's queue: the delays of the links that data
    cross before it.
    """
    first = _first_seen(packets, flow)
    if bottleneck not in first:
        return 0
    return sum(delay_of[link] for link, at_ns in first.items() if at_ns < first[bottleneck])


def largest_packet_bytes(packets: pa.Table, flow: int) -> int | None:
    """The largest data packet of a flow, headers included; None if it sent none."""
    sizes = packets.filter(_data_of(packets, flow))["size_bytes"]
    return pc.max(sizes).as_py()  # type: ignore[no-any-return]


def _first_seen(packets: pa.Table, flow: int) -> dict[int, int]:
    seen = (
        packets.filter(_data_of(packets, flow)).group_by("link").aggregate([("enqueue_ns", "min")])
    )
    return dict(zip(seen["link"].to_pylist(), seen["enqueue_ns_min"].to_pylist(), strict=True))


def _data_of(packets: pa.Table, flow: int) -> Any:
    return pc.and_(pc.equal(packets["flow"], flow), pc.invert(packets["ack"]))
