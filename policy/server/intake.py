"""From the columns of many StateBatch messages to records and closed windows that can be trusted.
Pure, vectorised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.protocol.columns import ACK_RECORDS, FLAG_APP_LIMITED, WINDOWS, Raw, joined
from policy.server.flows import STALE, FlowTable, Session
from policy.tasks.congestion.fields import COUNTERS, LEVELS
from policy.tasks.congestion.windows import Records

Ints = NDArray[np.int64]
_NO_MIN_RTT_US = 2**32 - 1  # the kernel's "none yet"
_AT = len(COUNTERS)  # row of `at_ns` behind the counters
_UINT32S = (
    "srtt_us",
    "min_rtt_us",
    "mss_bytes",
    "cwnd_packets",
    "inflight_packets",  # up to here as LEVELS
    "sample_delivered_packets",
    "sample_interval_us",
)


@dataclass(frozen=True)
class Part:
    """What one message brought.

    slots: int64[records and windows, in this order], negative where no open flow was meant
    (flows.UNKNOWN, STALE).
    """

    session: Session
    sequence: int
    sent_ns: int
    arrival_ns: int
    records: Raw
    windows: Raw
    slots: Ints


@dataclass(frozen=True)
class Closed:
    """Windows that ask for a decision, oldest first per flow; int64[m] each."""

    slot: Ints
    window: Ints
    end_ns: Ints

    def only(self, chosen: Ints) -> Closed:
        """The chosen windows."""
        return Closed(self.slot[chosen], self.window[chosen], self.end_ns[chosen])


class Rejections:
    """Counts by session and reason."""

    def __init__(self) -> None:
        self.by_session: dict[Session, Counter[str]] = {}

    def add(self, session: Session, reason: str, count: int = 1) -> None:
        """`count` things of this session were not used."""
        if count:
            self.by_session.setdefault(session, Counter())[reason] += count

    def sift(
        self,
        parts: list[Part],
        lengths: list[int],
        slots: Ints,
        checks: Sequence[tuple[str, NDArray[np.bool_]]],
    ) -> Ints | None:
        """Count each entry that is wrong under the first reason that it gives; returns the others,
        None if all are.

        lengths: entries of each part; slots: int64[n], negative ones are wrong; checks: reasons and
        where they apply.
        """
        if not (slots < 0).any() and not any(mask.any() for _, mask in checks):
            return None
        source = np.repeat(np.arange(len(parts)), lengths)
        good = np.ones(len(slots), bool)
        for reason, mask in (
            ("stale_generation", slots == STALE),
            ("unknown_flow", slots < 0),
            *checks,
        ):
            first = mask & good
            good &= ~first
            for part, count in enumerate(np.bincount(source[first], minlength=len(parts))):
                self.add(parts[part].session, reason, int(count))
        return np.flatnonzero(good)


def records_of(parts: list[Part], rejections: Rejections) -> Records:
    """The records of all parts that are fit for use."""
    raws = [part.records for part in parts]
    lengths = [raw.length for raw in raws]
    slot = np.concatenate(
        [part.slots[:length] for part, length in zip(parts, lengths, strict=True)]
    )
    int64s = joined(raws, ACK_RECORDS, *COUNTERS, "at_ns", "retransmitted_bytes")
    at_ns = int64s[_AT]
    rtt_us = joined(raws, ACK_RECORDS, "rtt_us")[0]
    pacing_bps = joined(raws, ACK_RECORDS, "pacing_rate_bps")[0]
    flags = joined(raws, ACK_RECORDS, "flags")[0]
    uint32s = joined(raws, ACK_RECORDS, *_UINT32S).astype(np.float64)
    _, min_rtt_us, mss_bytes, _, _, packets, interval_us = uint32s
    sent_ns = np.repeat([part.sent_ns for part in parts], lengths)
    checks: list[tuple[str, NDArray[np.bool_]]] = [
        ("bad_time", (at_ns <= 0) | (at_ns > sent_ns)),
        ("negative_counter", np.logical_or.reduce(int64s < 0)),
        ("bad_rate", ~((pacing_bps >= 0) & (pacing_bps < np.inf))),
        ("bad_mss", mss_bytes == 0),
    ]
    good = rejections.sift(parts, lengths, slot, checks)
    bits = packets * mss_bytes * 8e6
    rate_bps = np.divide(bits, interval_us, out=np.full(len(slot), np.nan), where=interval_us > 0)
    levels = np.empty((len(LEVELS), len(slot)))
    levels[:-1] = uint32s[: len(LEVELS) - 1]
    levels[-1] = pacing_bps
    levels[1, min_rtt_us == _NO_MIN_RTT_US] = 0.0
    levels[:2] *= 1e3  # the RTTs: µs to ns
    records = Records(
        slot,
        at_ns,
        int64s[: len(COUNTERS)].T,
        levels.T,
        np.where(rtt_us > 0, rtt_us * 1e3, np.nan),
        rate_bps,
        (flags & FLAG_APP_LIMITED) != 0,
    )
    return records if good is None else records.only(good)


def closings_of(parts: list[Part], table: FlowTable, rejections: Rejections) -> Closed:
    """The windows of all parts that come after the ones before of their flows. Updates the
    table.
    """
    raws = [part.windows for part in parts]
    lengths = [raw.length for raw in raws]
    slot = np.concatenate([part.slots[part.records.length :] for part in parts])
    window, end_ns = joined(raws, WINDOWS, "window", "end_ns")
    sent_ns = np.repeat([part.sent_ns for part in parts], lengths)
    source = np.repeat(np.arange(len(parts)), lengths)
    good = rejections.sift(
        parts, lengths, slot, (("bad_time", (end_ns <= 0) | (end_ns > sent_ns)),)
    )
    if good is not None:
        slot, window, end_ns, source = slot[good], window[good], end_ns[good], source[good]
    grew = (window > table.window[slot]) & (end_ns > table.end_ns[slot])
    order = np.argsort(slot, kind="stable")
    here, before = order[1:], order[:-1]
    again = slot[here] == slot[before]  # several windows of a flow at once must grow too
    grew[here] &= ~again | ((window[here] > window[before]) & (end_ns[here] > end_ns[before]))
    if not grew.all():
        for part, count in enumerate(np.bincount(source[~grew], minlength=len(parts))):
            rejections.add(parts[part].session, "stale_window", int(count))
        slot, window, end_ns, source = slot[grew], window[grew], end_ns[grew], source[grew]
    # Later entries of a flow overwrite earlier ones.
    table.window[slot], table.end_ns[slot] = window, end_ns
    table.arrival_ns[slot] = np.array([part.arrival_ns for part in parts], np.int64)[source]
    table.sequence[slot] = np.array([part.sequence for part in parts], np.int64)[source]
    return Closed(slot, window, end_ns)
