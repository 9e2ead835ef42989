from __future__ import annotations

import numpy as np
import pytest

from policy.tasks.congestion.cwnd import rate_and_cwnd

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
