"""Decision windows: per-ACK records of many flows folded into rows of physical quantities, vectorised over flows.

Everything that adds up comes from differences of the kernel's cumulative counters, so a missing record costs resolution
and no bytes. A counter that falls (which a live flow's never do) starts a new base and adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from policy.bandwidth import BandwidthEstimate

FIELDS = (
    "duration_ns",  # of the window
    "acks",  # ACK records in it
    "acked_bytes",  # cumulatively acknowledged
    "delivery_rate_bps",  # delivered (SACKed included), from the last ACK before to the last ACK in the window
    "send_rate_bps",  # sent, retransmissions included, over the same time
    "rtt_mean_ns",  # of the RTT samples; without ACKs the last value, or the silence if longer and data is in flight
    "rtt_min_ns",
    "rtt_gradient",  # d rtt / d t within the window, least squares; dimensionless
    "srtt_ns",  # at the window's end, as all that follow unless they say otherwise
    "min_rtt_ns",  # the flow's propagation estimate
    "queueing_delay_ns",  # rtt_mean_ns - min_rtt_ns
    "lost_bytes",  # marked lost in the window
    "loss_rate",  # lost / (lost + delivered) bytes of the window
    "inflight_bytes",
    "cwnd_bytes",
    "ack_spacing_ns",  # mean time between ACKs; without ACKs the silence
    "app_limited_share",  # of the ACKs whose rate sample is application-limited; without ACKs 1 if idle, else 0
    "ecn_share",  # of the delivered packets that carry a congestion mark
    "asked_rate_bps",  # pacing rate in force
    "action_log2",  # log2(asked_rate_bps / bandwidth_bps of the window before), clipped to [-3, 3]
    "since_loss_ns",  # since the last loss; -1: none yet
    "bandwidth_bps",  # the flow's bandwidth estimate
)
"""Columns of a window."""
F = {name: index for index, name in enumerate(FIELDS)}
"""Index of each column."""
HISTORY = 20
"""Windows kept per flow."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
COUNTERS = (
    "acked_bytes",
    "delivered_bytes",
    "lost_bytes",
    "sent_bytes",
    "delivered_packets",
    "delivered_ce_packets",
)
_ACKED, _DELIVERED, _LOST, _SENT, _PACKETS, _CE = range(len(COUNTERS))
LEVELS = ("srtt_ns", "min_rtt_ns", "mss_bytes", "cwnd_packets", "inflight_packets", "pacing_rate_bps")
_SRTT, _MIN_RTT, _MSS, _CWND, _INFLIGHT, _PACING = range(len(LEVELS))
_EXTRA = 7  # beside the counters' steps: ACKs, application-limited ones, and n, t, t², r, t r of RTT samples (seconds)
_NEVER = np.int64(-1)
_LAST = np.iinfo(np.int64).max
_FAR = np.inf


@dataclass(frozen=True)
class Records:
    """ACKs of many flows, any order between flows.

    slot, at_ns: int64[n]; counters: int64[n, 6] as COUNTERS; levels: float64[n, 6] as LEVELS, min_rtt_ns 0 where
    unknown; rtt_ns: float64[n], NaN: no sample; rate_bps: float64[n], delivery rate sample, NaN: none;
    app_limited: bool[n].
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
    """Accumulates the open window of every flow and gives its row when it closes. Arrays are indexed by slot."""

    def __init__(self, slots: int) -> None:
        self.last_ns: Ints = np.full(slots, _NEVER)  # newest record
        self.start_ns: Ints = np.zeros(slots, np.int64)  # of the open window
        self.bandwidth = BandwidthEstimate(slots)
        self.levels: Floats = np.zeros((slots, len(LEVELS)))
        self._counters: Ints = np.zeros((slots, len(COUNTERS)), np.int64)
        self._base_ns: Ints = np.full(slots, _NEVER)  # the last record before the open window
        self._loss_ns: Ints = np.full(slots, _NEVER)
        self._rtt_mean: Floats = np.zeros(slots)
        self._ends: Ints = np.full(slots, _LAST)  # scratch
        # Of the open window:
        self._sums: Floats = np.zeros((slots, len(COUNTERS) + _EXTRA))
        self._rtt_min: Floats = np.full(slots, _FAR)
        self._rate: Floats = np.full(slots, np.nan)  # newest sample that was not application-limited
        self._held: Records | None = (
            None  # past the newest closing of their flow: folded with those that come next
        )

    def open(self, slots: Ints, open_ns: Ints) -> None:
        """Flows begin, their first windows at open_ns."""
        if self._held is not None:
            self._held = self._held.only(np.flatnonzero(~np.isin(self._held.slot, slots)))
        self.last_ns[slots] = self._base_ns[slots] = self._loss_ns[slots] = _NEVER
        self.start_ns[slots] = open_ns
        self.levels[slots] = 0
        self._rtt_mean[slots] = 0
        self.bandwidth.forget(slots)
        self._reset(slots)

    def fold(self, records: Records, slot: Ints, end_ns: Ints) -> tuple[Floats, int, int]:
        """Take records and close windows: closing i ends the open window of slot[i] at end_ns[i], oldest first.

        A record at or past the end belongs to the next window. Returns the rows, float64[len(slot), F]; how many
        records were older than their flow's newest and left out; and how many had a counter that fell.
        """
        closings = rounds(slot)
        if self._held is not None:
            records = self._held.then(records)
        records, cuts, stale = self._in_order(records, closings, slot, end_ns)
        if not closings:
            self._held = None
            return np.empty((0, len(FIELDS))), stale, self._accumulate(records)
        rows = np.empty((len(slot), len(FIELDS)))
        resets = 0
        for closing, start, stop in zip(closings, cuts, cuts[1:], strict=False):
            resets += self._accumulate(records.part(start, stop))
            rows[closing] = self._close(slot[closing], end_ns[closing])
        self._held = records.part(cuts[-2], cuts[-1]) if cuts[-2] < cuts[-1] else None
        return rows, stale, resets

    def _in_order(
        self, records: Records, closings: list[Ints], slot: Ints, end_ns: Ints
    ) -> tuple[Records, list[int], int]:
        """Sorted by round, slot and time, where round k is what comes before the k-th closing of its slot.

        Returns the records, where each round starts (and the end), and how many were left out as too old.
        """
        fresh = records.at_ns >= self.last_ns.take(records.slot)
        stale = len(records) - int(np.count_nonzero(fresh))
        if stale:
            records = records.only(np.flatnonzero(fresh))
        slots = len(self.last_ns)
        key = records.slot.copy()
        for closing in closings:
            self._ends[slot[closing]] = end_ns[closing]
            key += slots * (records.at_ns >= self._ends.take(records.slot))
            self._ends[slot[closing]] = _LAST
        if slots * (len(closings) + 1) <= 2**16:
            key = key.astype(np.uint16)  # NumPy sorts these in linear time
        order = np.argsort(key, kind="stable")
        key = key.take(order)
        at_ns = records.at_ns.take(order)
        if np.any((at_ns[1:] < at_ns[:-1]) & (key[1:] == key[:-1])):
            order = order[np.lexsort((at_ns, key))]
        cuts = np.searchsorted(key, slots * np.arange(1, len(closings) + 1)).tolist()
        return records.only(order), [0, *cuts, len(records)], stale

    def _accumulate(self, r: Records) -> int:
        """Add sorted records to the open windows; returns how many had a counter that fell."""
        if not len(r):
            return 0
        starts = np.empty(len(r), bool)
        starts[0] = True
        np.not_equal(r.slot[1:], r.slot[:-1], out=starts[1:])
        first = np.flatnonzero(starts)
        slot = r.slot.take(first)
        new = self.last_ns.take(slot) == _NEVER
        before = np.empty_like(r.counters)
        before[1:] = r.counters[:-1]
        before[first] = self._counters.take(slot, axis=0)
        if new.any():
            before[first[new]] = r.counters[first[new]]
            self._base_ns[slot[new]] = r.at_ns[first[new]]
        step = r.counters - before
        resets = 0
        if step.min() < 0:
            resets = int(np.count_nonzero((step < 0).any(axis=1)))
            np.maximum(step, 0, out=step)

        sums = np.empty((len(COUNTERS) + _EXTRA, len(r)))
        sums[: len(COUNTERS)] = step.T
        sampled = ~np.isnan(r.rtt_ns)
        t = (r.at_ns - self.start_ns.take(r.slot)) * 1e-9 * sampled
        rtt = np.where(sampled, r.rtt_ns, 0.0) * 1e-9
        extra: tuple[ArrayLike, ...] = (1, r.app_limited, sampled, t, t * t, rtt, t * rtt)
        for row, values in enumerate(extra, len(COUNTERS)):
            sums[row] = values
        # Of a slot's values the last one stays: they are in order.
        lossy = np.flatnonzero(step[:, _LOST])
        if len(lossy):
            self._loss_ns[r.slot.take(lossy)] = r.at_ns.take(lossy)
        rated = np.flatnonzero(~(r.app_limited | np.isnan(r.rate_bps)))
        self._rate[r.slot.take(rated)] = r.rate_bps.take(rated)
        least, newest = r.rtt_ns, r
        if len(first) < len(r):
            sums = np.add.reduceat(sums, first, axis=1)
            least = np.fmin.reduceat(least, first)
            newest = r.only(np.append(first[1:], len(r)) - 1)
        self._sums[slot] = self._sums.take(slot, axis=0) + sums.T
        self._rtt_min[slot] = np.fmin(self._rtt_min.take(slot), least)
        self._counters[slot] = newest.counters
        self.last_ns[slot] = newest.at_ns
        self.levels[slot] = newest.levels
        return resets

    def _close(self, s: Ints, end_ns: Ints) -> Floats:
        """Rows of the open windows of slots s (each once), which then start anew at end_ns."""
        srtt, min_rtt, mss, cwnd, inflight, asked = self.levels.take(s, axis=0).T
        sums = self._sums.take(s, axis=0).T
        acks, limited, n, t, tt, r, tr = sums[len(COUNTERS) :]
        start_ns, last_ns = self.start_ns.take(s), self.last_ns.take(s)
        before_mean, loss_ns = self._rtt_mean.take(s), self._loss_ns.take(s)
        seen = last_ns != _NEVER
        silence = (end_ns - np.where(seen, last_ns, start_ns)).astype(np.float64)
        duration = (end_ns - start_ns).astype(np.float64)
        # From ACK to ACK, but never so short that one burst would pass for a rate.
        span = np.maximum((last_ns - self._base_ns.take(s)) * seen, duration / 2)
        inflight = inflight * mss
        quiet, busy = acks == 0, inflight > 0
        per_ack = 1 / np.maximum(acks, 1)

        sampled = n > 0
        mean = np.where(sampled, r / np.maximum(n, 1) * 1e9, before_mean)
        self._rtt_mean[s] = mean
        mean = np.where(quiet & busy, np.maximum(mean, silence), mean)
        spread = n * tt - t * t  # n² variance of the ACKs' times, s²
        slope = np.divide(
            n * tr - t * r, spread, out=np.zeros(len(s)), where=(n >= 3) & (spread > n * n * 1e-8)
        )
        rtt_min = np.where(sampled, self._rtt_min.take(s), mean)
        min_rtt = np.where(min_rtt > 0, min_rtt, rtt_min)
        lost, delivered = sums[_LOST], sums[_DELIVERED]
        per_span = 8e9 / span * ~quiet
        delivery_rate = delivered * per_span
        app_limited = np.where(quiet, ~busy, limited * per_ack)

        before = self.bandwidth.bps.take(s)
        bandwidth = self.bandwidth.update(
            s,
            delivery_rate_bps=delivery_rate,
            sample_bps=self._rate.take(s),
            steady=~quiet & (app_limited < 0.5) & (span <= 2 * duration),
            standing_queue=~quiet & (rtt_min - min_rtt > np.maximum(5e6, 0.1 * min_rtt)),
        )
        ratio = np.divide(asked, before, out=np.ones(len(s)), where=(asked > 0) & (before > 0))
        columns = {
            "duration_ns": duration,
            "acks": acks,
            "acked_bytes": sums[_ACKED],
            "delivery_rate_bps": delivery_rate,
            "send_rate_bps": sums[_SENT] * per_span,
            "rtt_mean_ns": mean,
            "rtt_min_ns": rtt_min,
            "rtt_gradient": slope,
            "srtt_ns": srtt,
            "min_rtt_ns": min_rtt,
            "queueing_delay_ns": np.maximum(mean - min_rtt, 0.0),
            "lost_bytes": lost,
            "loss_rate": lost / np.maximum(lost + delivered, 1),
            "inflight_bytes": inflight,
            "cwnd_bytes": cwnd * mss,
            "ack_spacing_ns": np.where(quiet, silence, span * per_ack),
            "app_limited_share": app_limited,
            "ecn_share": np.minimum(sums[_CE] / np.maximum(sums[_PACKETS], 1), 1.0),
            "asked_rate_bps": asked,
            "action_log2": np.log2(np.minimum(np.maximum(ratio, 1 / 8), 8)),
            "since_loss_ns": np.where(loss_ns == _NEVER, -1, end_ns - loss_ns),
            "bandwidth_bps": bandwidth,
        }
        self.start_ns[s] = end_ns
        self._base_ns[s] = last_ns
        self._reset(s)
        return np.array([columns[name] for name in FIELDS], np.float64).T

    def _reset(self, s: Ints) -> None:
        self._sums[s] = 0
        self._rtt_min[s] = _FAR
        self._rate[s] = np.nan


def rounds(slot: Ints) -> list[NDArray[np.int64]]:
    """Indices of `slot` in rounds such that no slot occurs twice in a round and its order is kept."""
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
