"""Flows that share a link of the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    Bbr,
    Beside,
    Cubic,
    Feedback,
    Links,
    shared,
    simulate,
)
from policy.tasks.congestion.windows import Records

MBIT = 1e6


class Steady:
    """A constant pacing rate, and the feedback that came."""

    def __init__(self, *rates_bps: float) -> None:
        self.pacing_rate_bps = np.array(rates_bps)
        self.cwnd_packets = np.full(len(rates_bps), 1e6)
        self.heard = np.zeros(len(rates_bps))
        self.slots: set[int] = set()

    def on_feedback(self, feedback: Feedback) -> None:
        self.heard += feedback.delivered_bytes

    def on_records(self, records: Records, now_ns: int) -> None:
        self.slots |= set(records.slot.tolist())


def links(*capacity_bps: float, seconds: int = 10, bdp: float = 4) -> Links:
    capacity = np.tile(np.array(capacity_bps), (seconds * 1000, 1))
    return Links(capacity, np.full(len(capacity_bps), 40), bdp * np.array(capacity_bps) * 0.04 / 8)


def both(
    first: Steady | Cubic, second: Steady | Cubic | Bbr, n: int = 1, to_ms: int = 10_000
) -> Beside:
    return Beside(first, second, np.zeros(n, np.int64), np.full(n, to_ms))


def test_a_full_link_is_shared_in_proportion_to_what_is_sent() -> None:
    outcome = simulate(shared(links(10 * MBIT)), both(Steady(9 * MBIT), Steady(3 * MBIT)), 1000)
    assert outcome.throughput_bps == pytest.approx(
        [7.5 * MBIT, 2.5 * MBIT], rel=0.15
    )  # packets keep step with the drops
    assert outcome.utilisation.sum() == pytest.approx(1, abs=0.01)
    # One queue: both wait for as long, and the buffer of 4 BDP is 160 ms long.
    assert outcome.queueing_p50_ms == pytest.approx([160, 160], abs=2)
    # Of 12 Mbit/s sent 2 are dropped, from each in proportion.
    assert outcome.loss_rate == pytest.approx([1 / 6, 1 / 6], rel=0.5)


def test_a_link_with_room_carries_both_without_a_queue() -> None:
    outcome = simulate(shared(links(10 * MBIT)), both(Steady(4 * MBIT), Steady(3 * MBIT)), 1000)
    assert outcome.throughput_bps == pytest.approx([4 * MBIT, 3 * MBIT], rel=0.01)
    assert outcome.queueing_p95_ms.max() <= 3


def test_links_do_not_touch_each_other_and_groups_have_their_own_numbers() -> None:
    first, second = Steady(9 * MBIT, 1 * MBIT), Steady(3 * MBIT, 1 * MBIT)
    outcome = simulate(shared(links(10 * MBIT, 4 * MBIT)), both(first, second, 2), 1000)
    expected = [7.5 * MBIT, 1 * MBIT, 2.5 * MBIT, 1 * MBIT]
    assert outcome.throughput_bps == pytest.approx(expected, rel=0.15)
    assert first.slots == second.slots == {0, 1}
    assert first.heard[0] > 2 * second.heard[0]


def test_nothing_is_lost_or_made_up() -> None:
    outcome = simulate(shared(links(10 * MBIT)), both(Cubic(1), Cubic(1)))
    assert outcome.delivered_bytes.min() >= -1e-6
    assert outcome.delivered_bytes.sum() <= 10 * MBIT / 8 * 10 + MSS_BYTES


def test_two_of_a_kind_get_the_same() -> None:
    outcome = simulate(shared(links(10 * MBIT)), both(Cubic(1), Cubic(1)), 1000)
    assert outcome.throughput_bps[0] == pytest.approx(outcome.throughput_bps[1], rel=0.01)


def test_the_second_group_comes_and_goes() -> None:
    outcome = simulate(shared(links(10 * MBIT)), both(Cubic(1), Steady(8 * MBIT), to_ms=5000))
    second = outcome.delivered_bytes[:, 1]
    assert second[:5000].sum() > 1e6
    assert second[6000:].sum() == 0
    late = Beside(Cubic(1), Steady(8 * MBIT), np.array([5000]), np.array([10_000]))
    assert simulate(shared(links(10 * MBIT)), late).delivered_bytes[:5000, 1].sum() == 0
