from __future__ import annotations

import numpy as np
import pytest

from policy.tasks.congestion.cwnd import rate_and_cwnd
from policy.tasks.congestion.settings import ServingConfig

pytestmark = pytest.mark.torch


def test_rate_and_cwnd_by_hand():
    rate, cwnd = rate_and_cwnd(
        np.array([0.0, 1.0, -1.0, 5.0]),
        bandwidth_bps=np.array([12e6, 12e6, 1e5, 12e6]),
        min_rtt_ns=np.full(4, 40e6),
        mss_bytes=np.full(4, 1500.0),
    )
    assert rate.tolist() == [
        12e6,
        24e6,
        1e5,
        24e6,
    ]  # not below the estimate, and the action within its range
    # 12 Mbit/s over 40 ms and 10 ms of queue is 75 kB, 50 packets, and three to spare
    assert cwnd.tolist() == [53.0, 103.0, 4.0, 103.0]


def test_the_room_for_a_queue_follows_the_objective():
    """12 Mbit/s over 40 ms and 10 ms of queue; four times as much, and a quarter."""
    rate, cwnd = rate_and_cwnd(
        np.zeros(3),
        bandwidth_bps=np.full(3, 12e6),
        min_rtt_ns=np.full(3, 40e6),
        mss_bytes=np.full(3, 1500.0),
        settings=ServingConfig(objective_room=4),
        objective=np.array([0.0, 0.5, 1.0]),
    )
    assert rate.tolist() == [12e6] * 3
    assert cwnd.tolist() == [45.5, 53.0, 83.0]


def test_a_flow_that_probes_asks_for_more_whatever_the_answer():
    rate, cwnd = rate_and_cwnd(
        np.array([-1.0, -1.0, 1.0]),
        bandwidth_bps=np.full(3, 12e6),
        min_rtt_ns=np.full(3, 40e6),
        mss_bytes=np.full(3, 1500.0),
        growth=np.array([0.0, 4.0, 4.0]),
    )
    assert rate.tolist() == [12e6, 48e6, 48e6]
    assert cwnd.tolist() == [28.0, 203.0, 203.0]
