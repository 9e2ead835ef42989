"""What a flow wants decides how long a queue the persistence rule makes room for."""

from __future__ import annotations

import numpy as np

from policy.api import FlowBatch, PolicyContext
from policy.registry import create
from policy.tasks.congestion.fields import FIELDS, F


def batch(queue_ms: float, objective: list[float]) -> FlowBatch:
    """Flows of 10 Mbit/s and 40 ms, past their start-up."""
    n = len(objective)
    windows = np.zeros((n, 1, len(FIELDS)))
    windows[..., F["acks"]] = 10
    windows[..., F["queueing_delay_ns"]] = queue_ms * 1e6
    estimates = (np.full(n, value) for value in (10e6, 40e6, 1448.0))
    return FlowBatch(np.arange(n), windows, np.ones((n, 1), bool), *estimates, np.array(objective))


def test_room_for_a_queue_grows_fourfold_on_either_side_of_balanced() -> None:
    tier = create("persistence", PolicyContext(3))
    tier.decide(batch(200, [0, 0.5, 1]), 0)  # ends start-up
    actions = tier.decide(batch(200, [0, 0.5, 1]), 0)
    assert actions.pacing_rate_bps.tolist() == [10e6] * 3
    spare_ms = (actions.cwnd_packets - 3) * 1448 * 8e3 / 10e6 - 40
    np.testing.assert_allclose(spare_ms, [1.25, 5, 20])


def test_a_queue_that_is_short_for_one_is_long_for_another() -> None:
    tier = create("persistence", PolicyContext(3))
    tier.decide(batch(200, [0, 0.5, 1]), 0)
    rates = tier.decide(batch(20, [0, 0.5, 1]), 0).pacing_rate_bps
    assert rates[0] == 10e6 < rates[1] < rates[2]


def test_after_an_outage_it_starts_up_again_once_new_samples_come() -> None:
    tier = create("persistence", PolicyContext(1))

    def rate_mbps(end_ms: int, **changed: float) -> float:
        told = batch(0, [0.5])
        usual = {"duration_ns": 100e6, "inflight_bytes": 1e4, "rtt_mean_ns": 41e6}
        for name, value in (usual | changed).items():
            told.windows[0, 0, F[name]] = value
        return float(tier.decide(told, end_ms * 10**6).pacing_rate_bps[0]) / 1e6

    full = {"queueing_delay_ns": 200e6, "rtt_mean_ns": 240e6}
    assert rate_mbps(1000) == 40  # start-up: 2.5 round trips in a window, at most fourfold
    assert rate_mbps(1100, **full) == 10
    assert rate_mbps(1200, acks=0.0, **full) == 10
    assert rate_mbps(1300, **full) == 10  # sent before the outage ended
    assert rate_mbps(1400) == 40
    assert rate_mbps(1500, **full) == 10  # sent after it
    assert rate_mbps(1600) == 14
    assert rate_mbps(1700, acks=0.0, inflight_bytes=0.0) == 14  # a pause
    assert rate_mbps(1800) == 40
