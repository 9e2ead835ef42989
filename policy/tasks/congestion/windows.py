"""Decision windows: per-ACK records of many flows folded into rows of physical quantities.

Everything that adds up comes from differences of the kernel's cumulative counters, so a missing
record costs resolution and no bytes. A counter that falls (which a live flow's never do) starts a
new base and adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.tasks.congestion import aggregation, estimates, folding, ordering, routes
from policy.tasks.congestion.fields import ESTIMATE, FIELDS, FLOW, ROW, SEEN

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Records:
    """ACKs of many flows, any order between flows.

    slot, at_ns: int64[n]; counters: int64[n, 6] as COUNTERS; levels: float64[n, 6] as LEVELS,
    min_rtt_ns 0 where unknown; rtt_ns: float64[n], NaN: no sample; rate_bps: float64[n], delivery
    rate sample, NaN: none; app_limited: bool[n].
    """

    slot: Ints
    at_ns: Ints
    counters: Ints
    levels: Floats
    rtt_ns: Floats
    rate_bps: Floats
    app_limited: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.slot)

    def only(self, chosen: Ints) -> Records:
        """The records at these places, in this order."""
        return Records(*(column.take(chosen, axis=0) for column in vars(self).values()))

    def then(self, others: Records) -> Records:
        """These records and the others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Records(*(np.concatenate(pair) for pair in pairs))

    def part(self, start: int, stop: int) -> Records:
        """Records from start to stop, not copied."""
        return Records(*(column[start:stop] for column in vars(self).values()))


class WindowFolder:
    """Accumulates the open window of every flow and gives its row when it closes. Arrays are
    indexed by slot.
    """

    def __init__(self, slots: int) -> None:
        self._flows = np.zeros(slots, FLOW)
        self.last_ns: Ints = self._flows["last_ns"]  # newest record
        self.start_ns: Ints = self._flows["start_ns"]  # of the open window
        self.levels: Floats = self._flows["levels"]  # float64[slots, 6], of the newest record
        self._estimates = np.zeros(slots, ESTIMATE)
        self._aggregation = np.zeros(slots, aggregation.AGGREGATION)
        # Past the newest closing of their flow: folded with those that come next.
        self._held: Records | None = None
        self.open(np.arange(slots), np.zeros(slots, np.int64))

    def open(self, slots: Ints, open_ns: Ints) -> None:
        """Flows begin, their first windows at open_ns."""
        if self._held is not None:
            self._held = self._held.only(np.flatnonzero(~np.isin(self._held.slot, slots)))
        folding.open_flows(self._flows, slots, open_ns)
        self._estimates[slots] = np.zeros(1, ESTIMATE)[0]
        self._aggregation[slots] = np.zeros(1, aggregation.AGGREGATION)[0]

    def extra_acked_bytes(self, slots: Ints) -> Floats:
        """How much more than expected was acknowledged at once; float64[n]."""
        return aggregation.extra_acked_bytes(self._aggregation[slots])

    def recent_routes(self, slots: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """See `policy.tasks.congestion.routes.recent_routes`."""
        return routes.recent_routes(self._estimates[slots])

    def fold(self, records: Records, slot: Ints, end_ns: Ints) -> tuple[Floats, int, int]:
        """Take records and close windows: closing i ends the open window of slot[i] at end_ns[i],
        oldest first.

        A record at or past the end belongs to the next window. Returns the rows, float64[len(slot),
        F]; how many records were older than their flow's newest and left out; and how many had a
        counter that fell.
        """
        columns = records.slot, records.at_ns, records.counters, records.levels
        flags = records.app_limited
        aggregation.take(self._aggregation, self._estimates, *columns, flags)
        parts = [records] if self._held is None else [self._held, records]
        if not ordering.in_order(self._flows, records.slot, records.at_ns):
            whole = parts[0] if len(parts) == 1 else parts[0].then(records)
            parts = [whole.only(np.argsort(whole.at_ns, kind="stable"))]
        following = np.empty(len(slot), np.int64)
        rows, seen = np.empty(len(slot), ROW), np.empty(len(slot), SEEN)
        closings = end_ns, following, rows, seen
        ordering.line_up(self._flows, slot, following)
        ahead, stale, fell = [], 0, 0
        for part in parts:
            past = np.empty(len(part), bool)
            counts = folding.take_records(self._flows, *closings, past, *vars(part).values())
            stale, fell = stale + counts[0], fell + counts[1]
            if past.any():
                ahead.append(part.only(np.flatnonzero(past)))
        folding.close_rest(self._flows, *closings, slot)
        routes.follow(self._estimates, slot, rows, seen)
        estimates.conclude(self._estimates, slot, rows, seen)
        self._held = ahead[0].then(ahead[1]) if len(ahead) == 2 else ahead[0] if ahead else None
        return rows.view(np.float64).reshape(len(slot), len(FIELDS)), stale, fell


def rounds(slot: Ints) -> list[NDArray[np.int64]]:
    """Indices of `slot` in rounds such that no slot occurs twice in a round and its order is
    kept.
    """
    if not len(slot):
        return []
    order = np.argsort(slot, kind="stable")
    ordered = slot[order]
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    if starts.all():
        return [np.arange(len(slot))]
    position = np.arange(len(slot))
    rank = position - np.maximum.accumulate(np.where(starts, position, 0))
    return [order[rank == k] for k in range(int(rank.max()) + 1)]
