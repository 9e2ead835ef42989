from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.congestion.labels import (
    CapacityIntegral,
    Reward,
    Target,
    action_log2,
    at_other_target,
    near_optimal_rate_bps,
    returns_to_go,
    rewards,
    target_of,
)

pytestmark = pytest.mark.torch

MS = 1_000_000
NO_TARGET = Target(horizon_windows=2, window_ns=100 * MS, target_delay_ns=0.0)


def steps(*mbps: float, step_ms: int = 100) -> CapacityIntegral:
    """A capacity that holds each value for one step."""
    at_ns = np.arange(len(mbps) + 1) * step_ms * MS
    return CapacityIntegral(
        at_ns, np.concatenate([[0], np.cumsum(np.array(mbps) * 1e6 / 8 * step_ms / 1e3)])
    )


def rate_mbps(
    capacity,
    at_ms=0.0,
    *,
    queue=0.0,
    committed=0.0,
    delay_ms=0.0,
    rtt_ms=50,
    target=NO_TARGET,
    share=1.0,
):
    rate = near_optimal_rate_bps(
        at_ms * MS,
        capacity,
        queue_bytes=queue,
        committed_bytes=committed,
        forward_delay_ns=delay_ms * MS,
        rtt_ns=rtt_ms * MS,
        share=share,
        target=target,
    )
    return float(rate) / 1e6


def test_empty_queue_gets_the_mean_capacity():
    assert rate_mbps(steps(8, 4, 100)) == pytest.approx(6)  # mean of the two windows of the horizon


def test_a_queue_is_drained_within_the_horizon():
    # 8 Mbit/s for 200 ms carries 200 kB; 50 kB wait, so 150 kB may come: 6 Mbit/s
    assert rate_mbps(steps(8, 8, 8), queue=50e3) == pytest.approx(6)


def test_a_target_delay_leaves_a_queue():
    # 10 ms at 8 Mbit/s are 10 kB more over 200 ms: 0.4 Mbit/s
    target = Target(horizon_windows=2, window_ns=100 * MS, target_delay_ns=10 * MS)
    assert rate_mbps(steps(8, 8, 8), target=target) == pytest.approx(8.4)


def test_committed_bytes_meet_the_capacity_before_the_new_rate():
    # In the 100 ms until the new rate arrives, 100 kB leave: 40 kB waiting and 80 kB under way
    # become 20 kB
    assert rate_mbps(steps(8, 8, 8, 8), queue=40e3, committed=80e3, delay_ms=100) == pytest.approx(
        8 - 0.8
    )
    # and a queue that runs empty before is no credit
    assert rate_mbps(steps(8, 8, 8, 8), queue=1e3, delay_ms=100) == pytest.approx(8)


def test_the_delay_shifts_what_the_rate_meets():
    assert rate_mbps(steps(2, 8, 8, 2), delay_ms=100) == pytest.approx(8)
    assert rate_mbps(steps(2, 8, 8, 2), at_ms=50, delay_ms=50) == pytest.approx(8)


def test_a_long_rtt_widens_the_horizon():
    assert rate_mbps(steps(8, 8, 2, 2), rtt_ms=400) == pytest.approx(5)


def test_never_silent():
    assert rate_mbps(steps(8, 8), queue=1e9) == pytest.approx(0.05 * 8)


def test_share_of_a_shared_bottleneck():
    assert rate_mbps(steps(8, 8), share=0.25) == pytest.approx(2)


@given(
    mbps=st.lists(st.floats(0.1, 100), min_size=4, max_size=4),
    queue=st.floats(0, 1e5),
    target_ms=st.floats(0, 50),
)
def test_following_the_label_ends_at_the_target_queue(mbps, queue, target_ms):
    """Bytes in = bytes out: the queue at the end of the horizon is the target, unless the floor
    held.
    """
    capacity = steps(*mbps)
    target = Target(horizon_windows=2, window_ns=100 * MS, target_delay_ns=target_ms * MS)
    rate = rate_mbps(capacity, queue=queue, target=target) * 1e6
    usable = float(capacity.between(0, 200 * MS))
    end = queue + rate * 0.2 / 8 - usable
    if rate > target.floor * usable * 8 / 0.2 * (1 + 1e-9):
        assert end == pytest.approx(usable * target_ms / 200, rel=1e-6, abs=1e-3)


def test_vectorised_over_decisions():
    capacity = steps(8, 4, 2, 2)
    both = near_optimal_rate_bps(
        [0, 100 * MS],
        capacity,
        queue_bytes=[0, 10e3],
        committed_bytes=0,
        forward_delay_ns=0,
        rtt_ns=[50 * MS, 50 * MS],
        target=NO_TARGET,
    )
    assert both / 1e6 == pytest.approx([6, 3 - 0.4])


@pytest.mark.parametrize(
    ("at", "total"),
    [([0], [0]), ([0, 1], [0]), ([0, 0], [0, 1]), ([0, 1], [1, 0]), ([[0, 1]], [[0, 1]])],
)
def test_capacity_must_be_an_integral(at, total):
    with pytest.raises(ValueError, match="capacity"):
        CapacityIntegral(at, total)


def test_action_is_a_bounded_log_ratio():
    assert action_log2([5e6, 20e6, 1e9, 0], [10e6, 10e6, 10e6, 10e6]).tolist() == [-1, 1, 1, -1]
    assert action_log2(10e6 * 2**0.5, 10e6) == pytest.approx(0.5)


def test_rewards_by_hand():
    values = rewards(
        delivered_bytes=[50, 100, 120, 0],
        capacity_bytes=[100, 100, 100, 0],
        queueing_delay_ns=[0, 20, 500, 0],
        min_rtt_ns=20,
        loss_rate=[0, 0, 0.1, 0],
        weights=Reward(delay=0.5, loss=5.0),
    )
    assert values.tolist() == pytest.approx([0.5, 0.5, 1 - 1.0 - 0.5, 1.0])


def test_returns_to_go_by_hand():
    assert returns_to_go([1, 2, 3, 6], horizon_windows=2).tolist() == [2.5, 4.5, 6, 6]
    assert returns_to_go([]).shape == (0,)


@given(
    st.lists(st.floats(0.2, 20), min_size=12, max_size=12),
    st.floats(0, 1),
    st.floats(0, 2e4),
    st.integers(1, 300),
)
def test_another_target_is_as_if_asked_for_at_once(
    mbps: list[float], objective: float, queue: float, rtt_ms: int
) -> None:
    capacity, rtt_ns = steps(*mbps), rtt_ms * MS
    horizon = max(200 * MS, rtt_ns)
    delay_ns = float(target_of(objective)[0])

    def near_optimal(target: Target) -> float:
        return float(
            near_optimal_rate_bps(
                0.0,
                capacity,
                queue_bytes=queue,
                committed_bytes=0.0,
                forward_delay_ns=0.0,
                rtt_ns=rtt_ns,
                target=target,
            )
        )

    other = at_other_target(
        near_optimal(Target()),
        delay_ns,
        capacity_bps=capacity.between(0, horizon) * 8e9 / horizon,
        queue_bytes=queue,
        rtt_ns=rtt_ns,
    )
    np.testing.assert_allclose(other, near_optimal(Target(target_delay_ns=delay_ns)), rtol=1e-9)


def test_the_targets_of_objectives() -> None:
    delay_ns, overestimation = target_of([0.0, 0.5, 1.0])
    np.testing.assert_allclose(delay_ns, [7.5e6, 30e6, 120e6])
    np.testing.assert_allclose(overestimation, [3 / 2, 1, 2 / 3])
