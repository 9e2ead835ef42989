"""policy.tasks.congestion.cwnd by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policy.api import Actions, FlowBatch
from policy.tasks.congestion.cwnd import cwnd_packets, for_pauses, for_routes
from policy.tasks.congestion.fields import FIELDS, F


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


def batch(*rtt_ms: float) -> FlowBatch:
    """Flows of 12 Mbit/s, a packet per ms, on a route of 40 ms, with these RTTs."""
    n = len(rtt_ms)
    windows = np.zeros((n, 1, len(FIELDS)))
    windows[:, -1, F["rtt_min_ns"]] = np.array(rtt_ms) * 1e6
    numbers, valid, half = np.arange(n), np.ones((n, 1), bool), np.full(n, 0.5)
    path = np.full(n, 12e6), np.full(n, 40e6), np.full(n, 1500.0)
    return FlowBatch(numbers, windows, valid, *path, half)


def routed(
    rtt_ms: float, recent_ms: float, *, rate_bps: float = 14e6, fallen: bool = False
) -> tuple[float, float]:
    """Rate [Mbit/s] and cwnd of a flow that asks for 47 packets."""
    asked = Actions(np.array([rate_bps]), np.array([47.0]))
    given_ = for_routes(asked, batch(rtt_ms), np.array([recent_ms * 1e6]), np.array([fallen]))
    return given_.pacing_rate_bps[0] / 1e6, given_.cwnd_packets[0]


def test_cwnd_has_room_for_a_recent_longer_route_and_the_rate_bounds_the_queue() -> None:
    # 44 packets for 40 ms are 220 for 200 ms; 47 packets per 40 ms are 14.1 Mbit/s, per 45 12.5
    assert routed(40, 200) == (14.0, 223.0)
    np.testing.assert_allclose(routed(45, 200), (47 * 1500 * 8 / 45e3, 223.0))
    # a queue, or a route that is not known yet: three quarters of the estimate
    assert routed(200, 200) == (9.0, 223.0)
    assert routed(200, 200, rate_bps=3e6) == (3.0, 223.0)
    assert routed(40, 200, fallen=True) == (9.0, 223.0)


def begun(
    acks: int, inflight_bytes: float, *, bandwidth_bps: float = 12e6, min_rtt_ms: float = 40
) -> tuple[float, float]:
    """Rate [Mbit/s] and cwnd of a flow that asks for 1 Mbit/s and 7 packets."""
    told = batch(40)
    told.windows[:, -1, F["acks"]] = acks
    told.windows[:, -1, F["inflight_bytes"]] = inflight_bytes
    told.bandwidth_bps[:], told.min_rtt_ns[:] = bandwidth_bps, min_rtt_ms * 1e6
    given_ = for_pauses(Actions(np.array([1e6]), np.array([7.0])), told)
    return given_.pacing_rate_bps[0] / 1e6, given_.cwnd_packets[0]


def test_after_a_pause_a_flow_begins_with_twice_its_estimate() -> None:
    assert begun(0, 0) == (24.0, 80.0)
    assert begun(0, 0, bandwidth_bps=1e5) == (3.0, 10.0)  # the initial window, in 40 ms


def test_a_flow_of_which_nothing_is_known_begins_with_the_initial_window() -> None:
    assert begun(0, 15_000, bandwidth_bps=0) == (3.0, 10.0)
    assert begun(0, 0, bandwidth_bps=0, min_rtt_ms=0) == (1.0, 7.0)


def test_a_flow_that_sends_gets_what_it_asks_for() -> None:
    assert begun(3, 0) == (1.0, 7.0)
    assert begun(0, 1500) == (1.0, 7.0)  # an outage is no pause


def test_a_flow_of_one_route_gets_what_it_asks_for() -> None:
    assert routed(45, 0) == (14.0, 47.0)
    assert routed(45, 40) == (14.0, 47.0)


@given(st.floats(40, 1000), st.floats(0, 1000), st.floats(1e5, 1e9), st.booleans())
def test_a_longer_route_never_raises_the_rate_nor_lowers_cwnd(
    rtt_ms: float, recent_ms: float, rate_bps: float, fallen: bool
) -> None:
    rate_mbps, cwnd = routed(rtt_ms, recent_ms, rate_bps=rate_bps, fallen=fallen)
    assert min(rate_bps, 0.75 * 12e6) <= rate_mbps * 1e6 * (1 + 1e-12)
    assert rate_mbps * 1e6 <= rate_bps * (1 + 1e-12)
    assert cwnd >= 47
