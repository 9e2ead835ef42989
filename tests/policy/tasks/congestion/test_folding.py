"""The compiled folding against plain Python, which keeps a window's records and computes its row at
the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.tasks.congestion.fields import COUNTERS, ESTIMATE, FIELDS, LEVELS, ROW, SEEN, F
from policy.tasks.congestion.routes import follow
from policy.tasks.congestion.windows import Records, WindowFolder

MS = 1_000_000
SLOTS = 3
MEMORY, MEMORY_QUEUEING = 10, 2


def records(kind: np.dtype) -> np.recarray:
    """One record, of zeros."""
    return np.zeros(1, kind).view(np.recarray)


class Ack(NamedTuple):
    at_ns: int
    counters: tuple[int, ...]
    levels: tuple[float, ...]
    rtt_ns: float
    rate_bps: float
    app_limited: bool


@dataclass
class Plain:
    """One flow."""

    start_ns: int
    window: list[Ack] = field(default_factory=list)
    last: Ack | None = None
    base: Ack | None = None  # the last one before the window
    held: list[Ack] = field(default_factory=list)
    loss_ns: int | None = None
    rtt_mean_ns: float = 0.0
    bandwidth_bps: float = 0.0
    samples: list[float] = field(default_factory=list)
    path: np.recarray = field(default_factory=lambda: records(ESTIMATE))

    def fold(self, acks: list[Ack], ends_ns: list[int]) -> tuple[list[list[float]], int, int]:
        came = self.held + acks
        fresh = sorted(
            (a for a in came if self.last is None or a.at_ns >= self.last.at_ns),
            key=lambda a: a.at_ns,
        )
        stale, fell, rows = len(came) - len(fresh), 0, []
        for end_ns in ends_ns:
            fell += self.take([a for a in fresh if a.at_ns < end_ns])
            fresh = [a for a in fresh if a.at_ns >= end_ns]
            row = self.close(end_ns)
            rows.append([row[name] for name in FIELDS])
        self.held = fresh if ends_ns else []
        if not ends_ns:
            fell += self.take(fresh)
        return rows, stale, fell

    def take(self, acks: list[Ack]) -> int:
        fell = 0
        for ack in acks:
            self.base = self.base or ack
            before = self.last or ack
            fell += any(new < old for old, new in zip(before.counters, ack.counters, strict=True))
            if self.steps([before, ack])["lost_bytes"] > 0:
                self.loss_ns = ack.at_ns
            self.last = ack
            self.window.append(ack)
        return fell

    @staticmethod
    def steps(acks: list[Ack]) -> dict[str, int]:
        pairs = list(pairwise(acks))
        return {
            name: sum(max(after.counters[k] - before.counters[k], 0) for before, after in pairs)
            for k, name in enumerate(COUNTERS)
        }

    def close(self, end_ns: int) -> dict[str, float]:
        acks = self.window
        level = dict(
            zip(LEVELS, self.last.levels if self.last else [0.0] * len(LEVELS), strict=True)
        )
        gained = self.steps([self.base, *acks] if self.base else [])
        duration = end_ns - self.start_ns
        silence = end_ns - (self.last.at_ns if self.last else self.start_ns)
        since_base = self.last.at_ns - self.base.at_ns if self.last and self.base else 0
        span = max(since_base, duration / 2)
        active = self.active(span)
        inflight = level["inflight_packets"] * level["mss_bytes"]

        sampled = [
            ((a.at_ns - self.start_ns) / 1e9, a.rtt_ns) for a in acks if not math.isnan(a.rtt_ns)
        ]
        n = len(sampled)
        if sampled:
            self.rtt_mean_ns = sum(rtt for _, rtt in sampled) / n
        mean = self.rtt_mean_ns if acks or not inflight else max(self.rtt_mean_ns, silence)
        centre = sum(t for t, _ in sampled) / max(n, 1)
        spread = sum((t - centre) ** 2 for t, _ in sampled)
        slope = 0.0
        if n >= 3 and spread / n > 1e-8:
            slope = sum((t - centre) * rtt / 1e9 for t, rtt in sampled) / spread
        rtt_min = min((rtt for _, rtt in sampled), default=mean)
        per_span = 8e9 / active if acks else 0.0
        delivery_rate = gained["delivered_bytes"] * per_span
        min_rtt, left = self.min_rtt(
            acks,
            level["min_rtt_ns"],
            duration_ns=duration,
            rtt_min_ns=rtt_min,
            rtt_mean_ns=mean,
            inflight_bytes=inflight,
            delivery_rate_bps=delivery_rate,
        )
        limited = sum(a.app_limited for a in acks) / len(acks) if acks else float(inflight == 0)
        asked, before = level["pacing_rate_bps"], self.bandwidth_bps
        ratio = asked / before if asked and before else 1.0
        rates = [a.rate_bps for a in acks if not a.app_limited and not math.isnan(a.rate_bps)]
        told = bool(acks) and limited < 0.5
        burst = self.burst(acks) if told and len(acks) > 3 and span > 2 * duration else 0.0
        most = before if left and before else math.inf
        self.estimate(
            min(max(delivery_rate, burst), most),
            rates[-1] if rates and most == math.inf else 0.0,
            steady=told and (span <= 2 * duration or burst > delivery_rate),
            standing=bool(acks) and rtt_min - min_rtt > max(5 * MS, 0.1 * min_rtt),
        )
        row = {
            "duration_ns": duration,
            "acks": len(acks),
            "acked_bytes": gained["acked_bytes"],
            "delivery_rate_bps": delivery_rate,
            "send_rate_bps": gained["sent_bytes"] * per_span,
            "rtt_mean_ns": mean,
            "rtt_min_ns": rtt_min,
            "rtt_gradient": slope,
            "srtt_ns": level["srtt_ns"],
            "min_rtt_ns": min_rtt,
            "queueing_delay_ns": max(mean - min_rtt, 0.0),
            "lost_bytes": gained["lost_bytes"],
            "loss_rate": gained["lost_bytes"]
            / max(gained["lost_bytes"] + gained["delivered_bytes"], 1),
            "inflight_bytes": inflight,
            "cwnd_bytes": level["cwnd_packets"] * level["mss_bytes"],
            "ack_spacing_ns": active / len(acks) if acks else silence,
            "app_limited_share": limited,
            "ecn_share": min(
                gained["delivered_ce_packets"] / max(gained["delivered_packets"], 1), 1.0
            ),
            "asked_rate_bps": asked,
            "action_log2": min(max(math.log2(ratio), -3.0), 3.0),
            "since_loss_ns": -1 if self.loss_ns is None else end_ns - self.loss_ns,
            "bandwidth_bps": self.bandwidth_bps,
        }
        self.start_ns, self.base, self.window = end_ns, self.last, []
        return row

    def active(self, span: float) -> float:
        """Without the pause before the window's first packet, if nothing was in flight then."""
        acks, base = self.window, self.base
        if not acks or not base or base is acks[0] or math.isnan(acks[0].rtt_ns):
            return span
        if dict(zip(LEVELS, base.levels, strict=True))["inflight_packets"]:
            return span
        pause = acks[0].at_ns - base.at_ns - acks[0].rtt_ns
        return max(acks[-1].at_ns - base.at_ns - pause, 10 * MS) if pause >= 100 * MS else span

    def burst(self, acks: list[Ack]) -> float:
        """From the first ACK to the last one."""
        if len(acks) < 2:
            return 0.0
        newest = [ack.rtt_ns for ack in acks if not math.isnan(ack.rtt_ns)][-1:]
        return self.rate(acks[0], acks[-1], newest[0] if newest else math.nan)

    @staticmethod
    def rate(first: Ack, last: Ack, rtt_ns: float) -> float:
        acked_ns = last.at_ns - first.at_ns
        sent_ns = acked_ns + first.rtt_ns - rtt_ns
        times = [10 * MS, acked_ns, *([] if math.isnan(sent_ns) else [sent_ns])]
        return max(last.counters[1] - first.counters[1], 0) * 8e9 / max(times)

    def run(self, acks: list[Ack]) -> float:
        """The largest rate of four ACKs and more that are at most 20 ms apart."""
        rates, together = [0.0], list[Ack]()
        for ack in acks:
            if together and ack.at_ns - together[-1].at_ns > 20 * MS:
                together = []
            together.append(ack)
            if len(together) >= 4:
                rates.append(self.rate(together[0], ack, ack.rtt_ns))
        return max(rates)

    def min_rtt(self, acks: list[Ack], least_ns: float, **columns: float) -> tuple[float, bool]:
        """By the function under other tests; and whether a longer route was just left."""
        newest = [ack.rtt_ns for ack in acks if not math.isnan(ack.rtt_ns)][-1:]
        seen, row = records(SEEN), records(ROW)
        seen.least_rtt_ns = least_ns
        if acks:
            seen.first_ns, seen.last_ns = acks[0].at_ns, acks[-1].at_ns
            seen.burst_bps, seen.run_bps = self.burst(acks) or math.nan, self.run(acks)
        seen.samples = sum(not math.isnan(ack.rtt_ns) for ack in acks)
        seen.newest_rtt_ns = newest[0] if newest else math.nan
        row.acks = len(acks)
        for name, value in columns.items():
            row[name] = value
        follow(
            self.path.view(np.ndarray),
            np.zeros(1, np.int64),
            row.view(np.ndarray),
            seen.view(np.ndarray),
        )
        return float(row.min_rtt_ns[0]), bool(seen.left[0])

    def estimate(self, rate_bps: float, sample_bps: float, *, steady: bool, standing: bool) -> None:
        newest = max(rate_bps, sample_bps) if steady and not standing else rate_bps
        self.samples.append(newest if steady or newest > self.bandwidth_bps else 0.0)
        recent = max(self.samples[-MEMORY_QUEUEING:]) if standing else 0.0
        self.bandwidth_bps = recent or max(self.samples[-MEMORY:]) or self.bandwidth_bps


def joined(acks: list[tuple[int, Ack]]) -> Records:
    n = len(acks)
    columns = list(zip(*(ack for _, ack in acks), strict=True)) or [()] * 6
    kinds = (np.int64, np.int64, np.float64, np.float64, np.float64, np.bool_)
    shapes = ((n,), (n, len(COUNTERS)), (n, len(LEVELS)), (n,), (n,), (n,))
    arrays = (np.array(c, k).reshape(s) for c, k, s in zip(columns, kinds, shapes, strict=True))
    return Records(np.array([slot for slot, _ in acks], np.int64), *arrays)


often_nan = st.one_of(st.just(math.nan), st.floats(1e6, 1e9))
arrivals = st.fixed_dictionaries(
    {
        "slot": st.integers(0, SLOTS - 1),
        "gap_ms": st.integers(-40, 90),  # after the flow's record before: some come late
        "steps": st.lists(st.integers(0, 5000), min_size=len(COUNTERS), max_size=len(COUNTERS)),
        "fall": st.sampled_from([0] * 9 + [3000]),
        "levels": st.tuples(
            st.floats(1e6, 1e9), st.sampled_from([0.0, 40e6]), st.just(1000.0), st.integers(1, 50),
            st.integers(0, 20), st.sampled_from([0.0, 1e5, 1e6]),
        ),
        "rtt_ns": often_nan,
        "rate_bps": often_nan,
        "app_limited": st.booleans(),
    }
)  # fmt: skip
folds = st.tuples(
    st.lists(arrivals, max_size=15),
    st.lists(st.integers(0, SLOTS - 1), max_size=6),  # whose next windows close, of 100 ms each
    st.sampled_from([None] * 9 + [0]),  # a slot that gets a new flow before
)


@settings(max_examples=200, deadline=None)
@given(st.lists(folds, max_size=8))
def test_folding_is_as_in_plain_python(
    course: list[tuple[list[dict], list[int], int | None]],
) -> None:
    folder, plain = WindowFolder(SLOTS), [Plain(0) for _ in range(SLOTS)]
    folder.open(np.arange(SLOTS), np.zeros(SLOTS, np.int64))
    at_ms, counters, ends_ms = [50] * SLOTS, np.full((SLOTS, len(COUNTERS)), 10_000), [0] * SLOTS
    for arrived, closing, new in course:
        if new is not None:
            folder.open(np.array([new]), np.array([ends_ms[new] * MS]))
            plain[new] = Plain(ends_ms[new] * MS)
        acks, closings = [], []
        for a in arrived:
            slot = a["slot"]
            at_ms[slot] = max(at_ms[slot] + a["gap_ms"], 1)
            counters[slot] = np.maximum(counters[slot] + a["steps"] - a["fall"], 0)
            now = tuple(counters[slot].tolist())
            acks.append(
                (
                    slot,
                    Ack(
                        at_ms[slot] * MS,
                        now,
                        a["levels"],
                        a["rtt_ns"],
                        a["rate_bps"],
                        a["app_limited"],
                    ),
                )
            )
        for slot in closing:
            ends_ms[slot] += 100
            closings.append((slot, ends_ms[slot] * MS))
        slots, ends_ns = np.array(closings, np.int64).reshape(-1, 2).T
        rows, stale, fell = folder.fold(joined(acks), slots, ends_ns)
        counts = np.zeros(2, int)
        for slot in range(SLOTS):
            expected, *found = plain[slot].fold(
                [ack for s, ack in acks if s == slot], [end for s, end in closings if s == slot]
            )
            counts += found
            np.testing.assert_allclose(
                rows[slots == slot], np.reshape(expected, (-1, len(FIELDS))), rtol=1e-7, atol=1e-5
            )
        assert (stale, fell) == tuple(counts)


def test_a_burst_after_a_silence_has_a_rate_of_its_own() -> None:
    """Data that waited out an outage of a second comes at the link's rate, 10 Mbit/s."""
    folder, slot = WindowFolder(1), np.array([0])
    first, last = 1_910 * MS, 1_940 * MS

    def bandwidth_bps(newest_rtt_ms: float) -> float:
        at = np.array([800, 900, 1_910, 1_920, 1_930, 1_940]) * MS
        delivered = np.array([0, 1_000, 6_000, 18_500, 31_000, 43_500])
        counters = np.zeros((6, len(COUNTERS)), np.int64)
        counters[:, 1] = delivered
        levels = np.tile([50e6, 40e6, 1000.0, 10.0, 5.0, 1e6], (6, 1))
        rtt = np.array([40, 40, 1_040, 1_040, 1_040, newest_rtt_ms], float) * MS
        none = np.full(6, math.nan)
        folder.open(slot, np.array([0]))
        records = Records(np.zeros(6, np.int64), at, counters, levels, rtt, none, np.zeros(6, bool))
        ends = np.arange(1, 21) * 100 * MS
        rows, _, _ = folder.fold(records, np.zeros(20, np.int64), ends)
        # In the row the rate is over the silence, as ever.
        silent_bps = 42_500 * 8e9 / (last - 900 * MS)
        assert rows[-1, F["delivery_rate_bps"]] == pytest.approx(silent_bps)
        return float(rows[-1, F["bandwidth_bps"]])

    assert bandwidth_bps(1_040) == pytest.approx(37_500 * 8e9 / (last - first))
    # It was sent over 60 ms, so the path held it back and delivered it faster than it can carry.
    assert bandwidth_bps(1_010) == pytest.approx(37_500 * 8e9 / (60 * MS))


def test_a_pause_is_no_part_of_the_rate_that_comes_after_it() -> None:
    """Ten packets in the first round trip of 40 ms after 700 ms in which nothing was in flight."""
    folder, slot = WindowFolder(1), np.array([0])
    at = np.array([100, *range(840, 850)]) * MS
    counters = np.zeros((11, len(COUNTERS)), np.int64)
    counters[1:, :4] = 1_000 * np.arange(1, 11)[:, None]
    levels = np.tile([40e6, 40e6, 1000.0, 10.0, 0.0, 1e6], (11, 1))

    def row(inflight_packets: float, before_ms: int = 100) -> np.ndarray:
        at[0], levels[0, 4] = before_ms * MS, inflight_packets
        rtt, none = np.full(11, 40.0 * MS), np.full(11, math.nan)
        folder.open(slot, np.array([0]))
        many = np.zeros(11, np.int64)
        records = Records(many, at, counters, levels, rtt, none, np.zeros(11, bool))
        ends = np.arange(1, 10) * 100 * MS + MS
        return folder.fold(records, np.zeros(9, np.int64), ends)[0][-1]

    paused = row(0)
    assert paused[F["delivery_rate_bps"]] == pytest.approx(10_000 * 8 / 0.049)
    assert paused[F["send_rate_bps"]] == pytest.approx(10_000 * 8 / 0.049)
    assert paused[F["ack_spacing_ns"]] == pytest.approx(4.9 * MS)
    # Where something was in flight, it was an outage; the frames of a video are closer.
    assert row(1)[F["delivery_rate_bps"]] == pytest.approx(10_000 * 8 / 0.749)
    assert row(0, 720)[F["delivery_rate_bps"]] == pytest.approx(10_000 * 8 / 0.129)


def test_a_silence_is_no_rate_of_the_path() -> None:
    """The agent skips the windows of a long silence: the next one is as long as all of them."""
    folder, slot, delivered = WindowFolder(1), np.array([0]), 0

    def bandwidth_bps(start_ms: int, end_ms: int) -> float:
        """Of a window with 20 ACKs of 10 kB in its last 100 ms."""
        nonlocal delivered
        at_ms = end_ms - 100 + 5 * np.arange(20)
        counters = np.tile((delivered + 10_000 * np.arange(1, 21))[:, None], len(COUNTERS))
        delivered += 200_000
        levels, nan = np.full((20, len(LEVELS)), 1e6), np.full(20, math.nan)
        many = np.zeros(20, np.int64)
        records = Records(many, at_ms * MS, counters, levels, nan, nan, np.zeros(20, bool))
        rows = folder.fold(records, slot, np.array([end_ms * MS]))[0]
        assert rows[0, F["duration_ns"]] == (end_ms - start_ms) * MS
        return float(rows[0, F["bandwidth_bps"]])

    before = bandwidth_bps(0, 100)
    assert before == pytest.approx(16e6, rel=0.1)
    for end_ms in range(200, 1300, 100):
        bandwidth_bps(end_ms - 100, end_ms)
    assert bandwidth_bps(1200, 13_000) == pytest.approx(16e6, rel=0.1)
    assert bandwidth_bps(13_000, 13_100) == pytest.approx(16e6, rel=0.1)


def test_a_new_flow_has_no_estimate_yet() -> None:
    folder = WindowFolder(1)
    slot, second = np.array([0]), 1_000 * MS

    def rate(end_ns: int, acked_bytes: int) -> float:
        """Of a window with one ACK 100 ms before its end."""
        counters = np.full((1, len(COUNTERS)), acked_bytes)
        levels = np.full((1, len(LEVELS)), 1e6)
        at = np.array([end_ns - 100 * MS])
        nan = np.array([math.nan])
        records = Records(slot, at, counters, levels, nan, nan, np.zeros(1, bool))
        return float(folder.fold(records, slot, np.array([end_ns]))[0][0, F["bandwidth_bps"]])

    rate(1 * second, 1_000)
    assert rate(2 * second, 1_000_000) > 0
    folder.open(slot, np.array([2 * second]))
    assert rate(3 * second, 1_000_000) == 0
