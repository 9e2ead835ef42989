"""The estimates of a flow's path, by hand: windows of 100 ms, the shortest route 20 ms long."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.congestion.estimates import bandwidth, route
from policy.tasks.congestion.fields import ESTIMATE, MEMORY, ROW, SEEN

MS = 1e6
MSS_BYTES = 1448.0
SHORTEST_MS = 20.0


def one(kind: np.dtype) -> np.record:
    """A record of zeros."""
    return np.zeros(1, kind).view(np.recarray)[0]


@dataclass(frozen=True)
class Window:
    """rtt_ms: the least one, None: no ACK came; packets: in flight; mbit: delivered, and from the
    first to the last of the ACKs.
    """

    rtt_ms: float | None
    packets: float = 20.0
    mbit: float = 4.0
    burst_mbit: float = math.nan
    acks: int = 9


def routes_ms(*windows: Window) -> list[float]:
    """The minimum RTT of the route after each of the windows [ms]."""
    estimate, found = one(ESTIMATE), []
    for k, window in enumerate(windows):
        row, seen = one(ROW), one(SEEN)
        seen.least_rtt_ns = SHORTEST_MS * MS
        if window.rtt_ms is not None:
            seen.samples, seen.newest_rtt_ns = window.acks, window.rtt_ms * MS
            seen.burst_bps, row.acks = window.burst_mbit * 1e6, window.acks
            seen.first_ns, seen.last_ns = (100 * k + 5) * MS, (100 * k + 95) * MS
            row.rtt_min_ns = window.rtt_ms * MS
        row.inflight_bytes = window.packets * MSS_BYTES
        row.delivery_rate_bps = window.mbit * 1e6
        found.append(route(estimate, row, seen) / MS)
    return found


def less(rtt_ms: float) -> list[Window]:
    """A flow that believes in a queue: less in flight each window, and less delivered."""
    sizes = [20.0 * 0.8**k for k in range(8)]
    return [Window(rtt_ms, n, n * MSS_BYTES * 8e-3 / rtt_ms) for n in sizes]


SHORT = Window(21)
# 8 packets come within 40 ms at most, and the RTT is 180 ms longer.
DETOUR = Window(200, packets=8, mbit=2.0)


def test_an_rtt_that_does_not_fall_with_what_is_sent_is_a_longer_route() -> None:
    found = routes_ms(SHORT, *less(60))
    # Two windows to settle and five more.
    assert found == [20] * 7 + [60] * 2


def test_an_rtt_that_falls_with_it_is_a_queue() -> None:
    """On a link of 1 Mbit/s: 20 ms and what is in flight."""
    sizes = [20.0 * 0.9**k for k in range(12)]
    queue = [Window(20 + n * MSS_BYTES * 8e-3, n, 1.0) for n in sizes]
    assert routes_ms(SHORT, *queue) == [20] * 13


def test_a_queue_that_its_flow_holds_is_not_a_longer_route() -> None:
    """The same in flight at all times: nothing tells its RTT from a route's."""
    assert routes_ms(SHORT, *[Window(100, 20, 2.3)] * 30) == [20] * 31


def test_what_one_round_trip_of_bursts_cannot_fill_is_a_longer_route() -> None:
    found = routes_ms(SHORT, *[DETOUR] * 4)
    # The ACK at 395 ms is of what was sent after that of 105 ms.
    assert found == [20, 20, 20, 200, 200]


def test_a_burst_tells_what_the_window_averages_out() -> None:
    slow = replace(DETOUR, mbit=0.5)
    assert routes_ms(SHORT, *[slow] * 4)[-1] == 20
    assert routes_ms(SHORT, *[replace(slow, burst_mbit=2.0)] * 4)[-1] == 200
    assert routes_ms(SHORT, *[replace(slow, burst_mbit=2.0, acks=3)] * 4)[-1] == 20


def test_a_delayed_ack_says_nothing() -> None:
    delayed = Window(240, packets=8, acks=1)
    first = Window(171, packets=8)  # of the window in which the route changed
    assert routes_ms(SHORT, first, DETOUR, delayed, DETOUR)[-1] == 200


def test_an_outage_is_not() -> None:
    """What waited it out comes back after 300 ms, at the rate of the link; what was sent after it
    does not."""
    waited = Window(300, packets=20, mbit=9.0)
    course = [SHORT, Window(None), Window(None), waited, waited, SHORT]
    assert routes_ms(*course, waited, SHORT) == [20] * 8


def test_another_flow_that_fills_a_queue_is_not() -> None:
    growing = [Window(40 + 12 * k, 10 * 0.9**k, 1.0) for k in range(12)]
    assert routes_ms(SHORT, *growing) == [20] * 13


def test_a_shorter_rtt_ends_it_at_once() -> None:
    assert routes_ms(SHORT, *[DETOUR] * 4, Window(198), SHORT)[-3:] == [200, 198, 20]


def test_a_route_is_known_again() -> None:
    found = routes_ms(SHORT, *[DETOUR] * 4, SHORT, SHORT, Window(203, packets=8), Window(120))
    assert found[-4:] == [20, 20, 203, 120]


def test_a_step_while_a_queue_stands_is_seen() -> None:
    standing = [Window(38, 25, 8.0)] * 20
    assert routes_ms(*standing, *less(75))[-1] == 75


@given(
    st.lists(
        st.builds(
            Window,
            st.none() | st.floats(SHORTEST_MS, 500),
            st.floats(0, 100),
            st.floats(0.01, 20),
        ),
        max_size=30,
    )
)
def test_the_route_lies_between_the_least_rtt_of_the_flow_and_that_of_the_window(
    windows: list[Window],
) -> None:
    for window, found in zip(windows, routes_ms(*windows), strict=True):
        assert found >= SHORTEST_MS
        assert window.rtt_ms is None or found <= max(window.rtt_ms, SHORTEST_MS)


def estimate() -> np.record:
    return one(ESTIMATE)


def after(
    e: np.record, rate: float, *, sample: float = math.nan, steady: bool = True, queue: bool = False
) -> float:
    return bandwidth(e, rate, sample, steady, queue)


def test_the_maximum_is_remembered_for_so_many_windows() -> None:
    e = estimate()
    assert after(e, 9e6) == 9e6
    estimates = [after(e, 4e6) for _ in range(MEMORY)]
    assert estimates[:-1] == [9e6] * (MEMORY - 1)
    assert estimates[-1] == 4e6


def test_while_a_queue_stands_the_newest_two_count() -> None:
    e = estimate()
    after(e, 9e6)
    assert [after(e, rate, queue=True) for rate in (4e6, 3e6, 2e6)] == [9e6, 4e6, 3e6]


def test_the_newest_sample_leads_unless_a_queue_stands() -> None:
    e = estimate()
    assert after(e, 2e6, sample=4e6) == 4e6
    assert after(e, 2e6, sample=8e6, queue=True) == 4e6


def test_without_usable_rates_the_estimate_stays() -> None:
    e = estimate()
    after(e, 5e6)
    assert {after(e, 0.0, steady=False) for _ in range(3 * MEMORY)} == {5e6}
