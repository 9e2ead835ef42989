"""How truthfully a link was emulated, from its own packet log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from testbed.links.base import DELIVERED, DirectionRecord, Percentiles

if TYPE_CHECKING:
    from traces.model import Trace

WINDOW_NS = 100_000_000
PACKET_BYTES = 1500
MAX_LATENESS_P99_NS = 2_000_000
GROUP_BYTES = 50 * PACKET_BYTES
MAX_UNTRUE_SHARE = 0.05  # of the groups of windows
MAX_UNTRUE_ERROR = 0.02  # of a group's capacity, beyond the packet that its edges may cut

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Capacity and bytes served of every 100 ms window in which there was a backlog throughout.

    number: which window since the trace's time zero, int64[windows], ascending; the others:
    float64[windows].
    """

    number: Int64s
    capacity_bytes: Float64s
    served_bytes: Float64s

    @property
    def rate_error(self) -> Float64s:
        """(served - capacity) / capacity of groups of windows, less one packet's allowance.

        Whole packets are counted, so a group's edges cut up to one packet: 24 % of a window at 0.5
        Mbit/s. Hence windows that follow each other are merged until they carry 50 packets, and
        one packet of the difference is forgiven: an exact link has no error at any rate.
        """
        capacity, served = self._groups()
        had = capacity > 0
        difference = served[had] - capacity[had]
        beyond = np.maximum(np.abs(difference) - PACKET_BYTES, 0.0)
        error: Float64s = np.sign(difference) * beyond / capacity[had]
        return error

    @property
    def untrue_share(self) -> float:
        """Share of the groups whose error is more than MAX_UNTRUE_ERROR."""
        error = self.rate_error
        return float(np.mean(np.abs(error) > MAX_UNTRUE_ERROR)) if len(error) else 0.0

    def _groups(self) -> tuple[Float64s, Float64s]:
        """Capacity and bytes served of each group. A rest below 50 packets joins the group before
        it, or stands alone if none touches it.
        """
        starts: list[int] = []
        carried = 0.0
        for index, number in enumerate(self.number):
            if not self._touches(index) or carried >= GROUP_BYTES:
                starts.append(index)
                carried = 0.0
            carried += self.capacity_bytes[index]
            ends = index + 1 == len(self.number) or self.number[index + 1] != number + 1
            if ends and carried < GROUP_BYTES and self._touches(starts[-1]):
                starts.pop()
        if not starts:
            return np.empty(0), np.empty(0)
        return np.add.reduceat(self.capacity_bytes, starts), np.add.reduceat(
            self.served_bytes, starts
        )

    def _touches(self, index: int) -> bool:
        """Whether the window before it in the list is also the one before it in time."""
        return index > 0 and bool(self.number[index] == self.number[index - 1] + 1)


NO_WINDOWS = Windows(np.empty(0, np.int64), np.empty(0), np.empty(0))


def backlogged_windows(
    enqueue_ns: Int64s,
    dequeue_ns: Int64s,
    size_bytes: Int64s,
    trace: Trace,
    zero_ns: int,
    busy_until_ns: Int64s,
) -> Windows:
    """Bytes served against capacity in the windows that the queue was never empty.

    The packets, [n], are those that left the queue, sorted by enqueue_ns. `busy_until_ns` is when
    each should have left it: the queue is busy from a packet's arrival until then.
    """
    if not len(enqueue_ns):
        return NO_WINDOWS
    busy_until_ns = np.maximum.accumulate(busy_until_ns)
    first = np.concatenate(([True], enqueue_ns[1:] > busy_until_ns[:-1]))  # of a busy period
    begins_ns, ends_ns = enqueue_ns[first], busy_until_ns[np.append(first[1:], True)]

    last_ns = int(busy_until_ns[-1])
    if last_ns - zero_ns < WINDOW_NS:
        return NO_WINDOWS
    edges_ns = np.arange(zero_ns, last_ns + 1, WINDOW_NS)
    period = np.searchsorted(begins_ns, edges_ns[:-1], side="right") - 1
    full = (period >= 0) & (ends_ns[np.maximum(period, 0)] >= edges_ns[1:])
    order = np.argsort(dequeue_ns, kind="stable")
    total = np.concatenate(([0], np.cumsum(size_bytes[order])))
    served = np.diff(total[np.searchsorted(dequeue_ns[order], edges_ns)]).astype(np.float64)
    capacity = np.asarray(trace.capacity_bytes(edges_ns[:-1] - zero_ns, edges_ns[1:] - zero_ns))
    return Windows(np.flatnonzero(full), capacity[full], served[full])


def percentiles(values: npt.NDArray[np.int64 | np.float64]) -> Percentiles | None:
    """None of no values."""
    if not len(values):
        return None
    p50, p99 = np.percentile(values, [50, 99])
    return Percentiles(float(p50), float(p99))


def judge(
    packets: pa.Table, trace: Trace | None, zero_ns: int | None
) -> tuple[DirectionRecord, list[str]]:
    """What one direction's packets (PACKET_SCHEMA) say about its emulation, and what makes it
    doubtful.

    The link lets every error of time show in dequeue_ns, so that lateness and delay error are the
    same figure.
    """
    columns = {
        name: packets[name]
        for name in ("enqueue_ns", "dequeue_ns", "due_ns", "size_bytes", "verdict")
    }
    left = columns["dequeue_ns"].is_valid().to_numpy()
    enqueue_ns, dequeue_ns, due_ns, size_bytes, verdict = (
        column.filter(pa.array(left)).to_numpy() for column in columns.values()
    )
    lateness = percentiles((dequeue_ns - due_ns)[verdict == DELIVERED])
    warnings = []
    if lateness is not None and lateness.p99 > MAX_LATENESS_P99_NS:
        warnings.append(
            f"packets left {lateness.p99 / 1e6:.1f} ms late (p99): the machine was too busy"
        )
    windows = NO_WINDOWS
    if trace is not None and zero_ns is not None:
        windows = backlogged_windows(
            enqueue_ns, dequeue_ns, size_bytes.astype(np.int64), trace, zero_ns, due_ns
        )
    if windows.untrue_share > MAX_UNTRUE_SHARE:
        warnings.append(
            f"{windows.untrue_share:.0%} of the stretches with a backlog were off the trace by "
            "more "
            f"than {MAX_UNTRUE_ERROR:.0%} and a packet"
        )
    return DirectionRecord(windows.rate_error, lateness, lateness), warnings
