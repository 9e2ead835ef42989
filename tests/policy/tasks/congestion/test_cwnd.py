"""policy.tasks.congestion.cwnd by hand."""

import numpy as np

from policy.tasks.congestion.cwnd import cwnd_packets


def test_cwnd_holds_the_bdp_and_the_allowed_queue() -> None:
    cwnd = cwnd_packets(
        np.array([12e6, 12e6, 1e3]),
        min_rtt_ns=np.array([40e6, 100e6, 40e6]),
        mss_bytes=np.full(3, 1500.0),
        queue_ns=5e6,
        queue_rtt=0.1,
    )
    # 12 Mbit/s is a packet per ms: 40 + 5 ms, and 100 + 10 ms, and three to spare; at least four
    np.testing.assert_allclose(cwnd, [48.0, 113.0, 4.0])
