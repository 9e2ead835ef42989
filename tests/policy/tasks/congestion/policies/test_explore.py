"""The tier `explore`: bounded, held for a while, seeded, and modest in a full queue."""

from __future__ import annotations

import numpy as np

from policy.api import FlowBatch, PolicyContext
from policy.tasks.congestion.fields import FIELDS, F
from policy.tasks.congestion.policies.explore import LONGEST_WINDOWS, Explore

ESTIMATE, MIN_RTT = 8e6, 40e6


def batch(flows, queueing_ns=0.0):
    n = len(flows)
    windows = np.zeros((n, 1, len(FIELDS)))
    windows[:, 0, F["queueing_delay_ns"]] = queueing_ns
    full = np.full(n, ESTIMATE), np.full(n, MIN_RTT), np.full(n, 1448.0)
    return FlowBatch(np.array(flows), windows, np.ones((n, 1), bool), *full)


def actions(tier, flows, windows, queueing_ns=0.0):
    """log2 multipliers, float64[windows, flows]."""
    rates = [tier.decide(batch(flows, queueing_ns), k).pacing_rate_bps for k in range(windows)]
    return np.log2(np.array(rates) / ESTIMATE)


def test_actions_fill_the_range_and_are_held():
    taken = actions(Explore(PolicyContext(4)), [0], 2000)[:, 0]
    assert taken.min() < -0.9
    assert 0.9 < taken.max() <= 1.0
    held = np.diff(np.flatnonzero(np.diff(taken)))
    assert held.max() <= LONGEST_WINDOWS
    assert 3 < held.mean() < 6


def test_a_flows_stream_depends_on_the_seed_and_not_on_other_flows():
    alone = actions(Explore(PolicyContext(4, seed=7)), [2], 50)[:, 0]
    beside = actions(Explore(PolicyContext(4, seed=7)), [0, 2, 3], 50)
    assert np.array_equal(alone, beside[:, 1])
    assert not np.array_equal(beside[:, 0], beside[:, 1])
    assert not np.array_equal(alone, actions(Explore(PolicyContext(4, seed=8)), [2], 50)[:, 0])


def test_the_next_flow_of_a_number_gets_another_stream():
    tier = Explore(PolicyContext(4))
    first = actions(tier, [1], 20)
    tier.forget([1])
    assert not np.array_equal(first, actions(tier, [1], 20))


def test_no_increase_into_a_full_queue():
    taken = actions(Explore(PolicyContext(4)), [0, 1], 300, queueing_ns=2 * MIN_RTT)
    assert taken.max() <= 0
