"""The route of a flow, by hand: windows of 100 ms, the shortest route 20 ms long."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.congestion.fields import ESTIMATE, ROW, SEEN
from policy.tasks.congestion.routes import RECENT_RTTS, follow, recent_routes

MS = 1e6
MSS_BYTES = 1448.0
SHORTEST_MS = 20.0


@dataclass(frozen=True)
class Window:
    """rtt_ms: the least one, None: no ACK came; packets: in flight; mbit: delivered, and from the
    first to the last of the ACKs, and in a run of them; last_ms, mean_ms: RTT of the last ACK and
    the mean, None: the least one.
    """

    rtt_ms: float | None
    packets: float = 20.0
    mbit: float = 4.0
    burst_mbit: float = math.nan
    acks: int = 9
    run_mbit: float = 0.0
    last_ms: float | None = None
    mean_ms: float | None = None


class Path:
    """What is concluded of one flow, window by window."""

    def __init__(self) -> None:
        self.estimates, self.count, self.left = np.zeros(1, ESTIMATE), 0, False

    def after(self, window: Window) -> float:
        """The minimum RTT of the route after one more window [ms]."""
        rows, seens = np.zeros(1, ROW), np.zeros(1, SEEN)
        row, seen = rows.view(np.recarray)[0], seens.view(np.recarray)[0]
        seen.least_rtt_ns = SHORTEST_MS * MS
        if window.rtt_ms is not None:
            seen.samples, seen.newest_rtt_ns = window.acks, (window.last_ms or window.rtt_ms) * MS
            seen.burst_bps, row.acks = window.burst_mbit * 1e6, window.acks
            seen.run_bps = window.run_mbit * 1e6
            seen.first_ns, seen.last_ns = (100 * self.count + 5) * MS, (100 * self.count + 95) * MS
            row.rtt_min_ns = window.rtt_ms * MS
            row.rtt_mean_ns = (window.mean_ms or window.rtt_ms) * MS
        row.duration_ns = 100 * MS
        row.inflight_bytes = window.packets * MSS_BYTES
        row.delivery_rate_bps = window.mbit * 1e6
        follow(self.estimates, np.zeros(1, np.int64), rows, seens)
        self.count, self.left = self.count + 1, bool(seen.left)
        return float(row.min_rtt_ns) / MS

    @property
    def recent_ms(self) -> float:
        """RTT of the longest route lately."""
        return float(recent_routes(self.estimates)[0][0]) / MS

    @property
    def fallen(self) -> bool:
        """Whether the minimum RTT is what is left of that one's."""
        return bool(recent_routes(self.estimates)[1][0])


def routes_ms(*windows: Window) -> list[float]:
    """The minimum RTT of the route after each of the windows [ms]."""
    path = Path()
    return [path.after(window) for window in windows]


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
    assert found[-4:] == [20, 20, 200, 120]


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
        assert window.rtt_ms is None or found <= max(window.rtt_ms, SHORTEST_MS) * (1 + 1e-12)


def on_a_detour() -> Path:
    """That the flow is known to be on."""
    path = Path()
    assert [path.after(window) for window in (SHORT, *[DETOUR] * 4)][-1] == 200
    return path


def test_the_last_ack_of_a_window_tells_a_route_that_is_known() -> None:
    path = on_a_detour()
    assert path.after(SHORT) == 20
    assert path.after(Window(114, packets=8, last_ms=201)) == 200
    # Not of a flow that did not have it.
    assert routes_ms(SHORT, Window(114, packets=8, last_ms=201))[-1] == 20


def test_a_step_is_to_the_longer_route_and_a_queue_while_that_is_a_recent_one() -> None:
    path = on_a_detour()
    assert [path.after(w) for w in (SHORT, Window(80), Window(260))] == [20, 20, 200]
    path = on_a_detour()
    for _ in range(21):  # ten RTTs
        path.after(SHORT)
    assert path.after(Window(260)) == 20


# Twelve packets come within 25 ms, but a window's mean is an eighth of that rate.
SPARSE = Window(202, packets=12, mbit=0.7, acks=3)
RUN = replace(SPARSE, run_mbit=5.6, acks=9, rtt_ms=156, mean_ms=206)


def test_a_run_of_acks_tells_a_route_to_which_the_rtt_jumped() -> None:
    between = Window(116, packets=12, acks=1)
    assert routes_ms(SHORT, between, RUN, SPARSE, SPARSE)[-1] == 202
    assert routes_ms(SHORT, between, replace(RUN, run_mbit=0.8), SPARSE, SPARSE)[-1] == 20


def test_no_run_of_acks_tells_one_from_a_queue_that_grows_or_drains() -> None:
    """Beside a flow that fills the queue, and after a fall of the capacity."""
    for course_ms in ((60, 110, 160, 202, 202), (76, 118, 203, 250, 202)):
        windows = [replace(SPARSE, rtt_ms=ms, run_mbit=5.6) for ms in course_ms]
        assert routes_ms(SHORT, *windows) == [20] * 6


def test_the_longer_route_is_a_recent_one_for_ten_of_its_rtts() -> None:
    path = on_a_detour()
    assert path.recent_ms == 200
    recent = []
    for _ in range(25):
        path.after(SHORT)
        recent.append(path.recent_ms)
    assert recent == [200.0] * (2 * RECENT_RTTS - 1) + [0.0] * 6
    assert not path.fallen


def test_what_is_longer_than_any_route_is_no_recent_one() -> None:
    """A queue of seconds at a trickle is taken for a route, but cwnd keeps no room for it."""
    path = Path()
    for window in (SHORT, *[Window(1500, packets=2, mbit=0.1)] * 60):
        path.after(window)
    assert path.after(Window(1500, packets=2, mbit=0.1)) == 1500
    assert path.recent_ms == 0


def test_a_route_was_just_left_for_one_rtt_of_it() -> None:
    path, left = on_a_detour(), []
    assert not path.left
    for _ in range(4):
        path.after(SHORT)
        left.append(path.left)
    assert left == [True, True, False, False]


def test_what_is_left_of_a_longer_rtt_is_a_route_when_it_has_lasted() -> None:
    """The flow sends less meanwhile, so that a queue of its own drains."""
    path, fallen = on_a_detour(), []
    for _ in range(25):
        assert path.after(Window(67)) == 67
        fallen.append(path.fallen)
    assert fallen == [True] * (2 * RECENT_RTTS - 1) + [False] * 6
    assert path.recent_ms == 67


@given(
    st.lists(
        st.builds(
            Window,
            st.none() | st.floats(SHORTEST_MS, SHORTEST_MS + 15),
            st.floats(0, 100),
            st.floats(0.01, 20),
            run_mbit=st.floats(0, 20),
        ),
        max_size=30,
    )
)
def test_without_a_longer_route_there_is_no_recent_one(windows: list[Window]) -> None:
    path = Path()
    assert {path.after(window) for window in windows} <= {SHORTEST_MS}
    assert path.recent_ms == 0
    assert not path.left
    assert not path.fallen
