"""From the columns of many StateBatch messages to records and closed windows that can be trusted. Pure, vectorised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.flows import STALE, FlowTable, Session
from policy.protocol.columns import ACK_RECORDS, FLAG_APP_LIMITED, Columns
from policy.windows import COUNTERS, Records

Ints = NDArray[np.int64]
_NO_MIN_RTT_US = 2**32 - 1  # the kernel's "none yet"
_WIRE_COUNTERS = (*COUNTERS, "retransmitted_bytes")


@dataclass(frozen=True)
class Part:
    """What one message brought. *_slots: int64[n], negative where no open flow was meant (flows.UNKNOWN, STALE)."""

    session: Session
    sequence: int
    sent_ns: int
    arrival_ns: int
    records: Columns
    record_slots: Ints
    windows: Columns
    window_slots: Ints


@dataclass(frozen=True)
class Closed:
    """Windows that ask for a decision, oldest first per flow; int64[m] each. source: index of the part."""

    slot: Ints
    window: Ints
    end_ns: Ints
    source: Ints


class Rejections:
    """Counts by session and reason."""

    def __init__(self) -> None:
        self.by_session: dict[Session, Counter[str]] = {}

    def add(self, session: Session, reason: str, count: int = 1) -> None:
        """`count` things of this session were not used."""
        if count:
            self.by_session.setdefault(session, Counter())[reason] += count

    def sift(
        self, parts: list[Part], source: Ints, wrong: list[tuple[str, NDArray[np.bool_]]]
    ) -> NDArray[np.bool_]:
        """Count each entry under the first reason that it gives; True where there is none. source: part of each."""
        good = np.ones(len(source), bool)
        for reason, mask in wrong:
            first = mask & good
            if first.any():
                good &= ~first
                for part, count in enumerate(np.bincount(source[first], minlength=len(parts))):
                    self.add(parts[part].session, reason, int(count))
        return good


def _missing(slots: Ints) -> list[tuple[str, NDArray[np.bool_]]]:
    return [("stale_generation", slots == STALE), ("unknown_flow", slots < 0)]


def records_of(parts: list[Part], rejections: Rejections) -> Records:
    """The records of all parts that are fit for use."""
    lengths = [len(part.record_slots) for part in parts]
    source = np.repeat(np.arange(len(parts)), lengths)
    slot = np.concatenate([part.record_slots for part in parts])
    sent_ns = np.repeat([part.sent_ns for part in parts], lengths)

    def column(name: str) -> NDArray[np.generic]:
        arrays = [part.records[name] for part in parts]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    at_ns = column("at_ns").astype(np.int64)
    counters = np.stack([column(name) for name in _WIRE_COUNTERS], axis=1).astype(np.int64)
    pacing_bps = column("pacing_rate_bps").astype(np.float64)
    rtt_us, min_rtt_us = column("rtt_us").astype(np.float64), column("min_rtt_us").astype(np.float64)
    mss, interval_us = column("mss_bytes").astype(np.float64), column("sample_interval_us").astype(np.float64)
    wrong = [
        *_missing(slot),
        ("bad_time", (at_ns <= 0) | (at_ns > sent_ns)),
        ("negative_counter", (counters < 0).any(axis=1)),
        ("bad_rate", ~(np.isfinite(pacing_bps) & (pacing_bps >= 0))),
        ("bad_mss", mss == 0),
    ]
    good = rejections.sift(parts, source, wrong)
    levels = np.stack(
        (
            column("srtt_us").astype(np.float64) * 1e3,
            np.where(min_rtt_us == _NO_MIN_RTT_US, 0.0, min_rtt_us * 1e3),
            mss,
            column("cwnd_packets").astype(np.float64),
            column("inflight_packets").astype(np.float64),
            pacing_bps,
        ),
        axis=1,
    )
    bits = column("sample_delivered_packets").astype(np.float64) * mss * 8
    rate_bps = np.divide(bits * 1e6, interval_us, out=np.full(len(slot), np.nan), where=interval_us > 0)
    records = Records(
        slot,
        at_ns,
        counters[:, : len(COUNTERS)],
        levels,
        np.where(rtt_us > 0, rtt_us * 1e3, np.nan),
        rate_bps,
        (column("flags").astype(np.uint8) & FLAG_APP_LIMITED) != 0,
    )
    return records if good.all() else records.only(good)


def closings_of(parts: list[Part], table: FlowTable, rejections: Rejections) -> Closed:
    """The windows of all parts that come after the ones before of their flows. Updates the table."""
    lengths = [len(part.window_slots) for part in parts]
    source = np.repeat(np.arange(len(parts)), lengths)
    slot = np.concatenate([part.window_slots for part in parts])
    window = np.concatenate([part.windows["window"] for part in parts]).astype(np.int64)
    end_ns = np.concatenate([part.windows["end_ns"] for part in parts]).astype(np.int64)
    sent_ns = np.repeat([part.sent_ns for part in parts], lengths)
    wrong = [*_missing(slot), ("bad_time", (end_ns <= 0) | (end_ns > sent_ns))]
    good = rejections.sift(parts, source, wrong)
    slot, window, end_ns, source = slot[good], window[good], end_ns[good], source[good]
    grew = (window > table.window[slot]) & (end_ns > table.end_ns[slot])
    order = np.argsort(slot, kind="stable")
    here, before = order[1:], order[:-1]
    again = slot[here] == slot[before]  # several windows of a flow at once must grow too
    grew[here] &= ~again | ((window[here] > window[before]) & (end_ns[here] > end_ns[before]))
    good = rejections.sift(parts, source, [("stale_window", ~grew)])
    closed = Closed(slot[good], window[good], end_ns[good], source[good])
    # Later entries of a flow overwrite earlier ones.
    table.window[closed.slot], table.end_ns[closed.slot] = closed.window, closed.end_ns
    table.arrival_ns[closed.slot] = np.array([part.arrival_ns for part in parts], np.int64)[closed.source]
    table.sequence[closed.slot] = np.array([part.sequence for part in parts], np.int64)[closed.source]
    return closed


assert set(_WIRE_COUNTERS) <= set(ACK_RECORDS)
