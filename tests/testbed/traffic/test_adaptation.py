"""The rules that set the encoder's target."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.tcpinfo import TcpInfo, parse
from testbed.traffic.video.adaptation import BacklogAdaptation, TransportAdaptation, adaptation
from testbed.traffic.video.encoder import Encoder
from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_MS, NS_PER_S

FRAME_NS = NS_PER_S // 30
QUIET = VideoOptions(size_noise=0)


def sample(
    delivery_rate_bps: float = math.nan,
    app_limited: bool = False,
    *,
    pacing_rate_bps: float = math.nan,
    cwnd_packets: int = 10,
    srtt_ns: int = 0,
) -> TcpInfo:
    return dataclasses.replace(
        parse(bytes(216)),
        srtt_ns=srtt_ns,
        cwnd_packets=cwnd_packets,
        pacing_rate_bps=pacing_rate_bps,
        delivery_rate_bps=delivery_rate_bps,
        app_limited=app_limited,
        mss_bytes=1250,
    )


def test_the_options_choose_the_rule() -> None:
    assert isinstance(adaptation(VideoOptions()), TransportAdaptation)
    assert isinstance(adaptation(VideoOptions(adaptation="backlog")), BacklogAdaptation)


def test_the_target_follows_the_pacing_rate_or_the_window_whichever_is_less() -> None:
    rule = TransportAdaptation(QUIET)
    assert rule.update(0, 0) == 1e6  # nothing known yet
    # 20 packets of 10,000 bits in 100 ms: 2 Mbit/s.
    rule.observe(0, sample(pacing_rate_bps=5e6, cwnd_packets=20, srtt_ns=100 * NS_PER_MS))
    assert rule.update(NS_PER_S, 0) == pytest.approx(0.9 * 2e6)
    rule.observe(0, sample(pacing_rate_bps=1e6, cwnd_packets=20, srtt_ns=100 * NS_PER_MS))
    assert rule.update(2 * NS_PER_S, 0) == pytest.approx(0.9 * 1e6)
    rule.observe(0, sample(cwnd_packets=20, srtt_ns=100 * NS_PER_MS))
    assert rule.update(3 * NS_PER_S, 0) == pytest.approx(0.9 * 2e6)


def test_a_backlog_lowers_the_target_so_that_it_drains_within_a_second() -> None:
    rule = TransportAdaptation(QUIET)
    rule.observe(0, sample(pacing_rate_bps=1e6, cwnd_packets=1000, srtt_ns=100 * NS_PER_MS))
    assert rule.update(0, 50_000) == pytest.approx(0.9 * 1e6 - 400e3)
    assert rule.update(FRAME_NS, 1_000_000) == QUIET.min_bps


def test_the_target_grows_tenfold_a_second_at_most() -> None:
    rule = TransportAdaptation(QUIET)
    rule.observe(0, sample(pacing_rate_bps=1e9, cwnd_packets=100_000, srtt_ns=NS_PER_MS))
    assert rule.update(0, 0) == 1e6
    assert rule.update(NS_PER_S // 2, 0) == pytest.approx(10**0.5 * 1e6)
    assert rule.update(NS_PER_S, 0) == pytest.approx(10e6)
    assert rule.update(9 * NS_PER_S, 0) == QUIET.max_bps


@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**9),
            st.integers(0, 10**8),
            st.floats(1, 1e12) | st.just(math.nan),
            st.integers(1, 10**6),
            st.integers(0, 10**10),
        )
    )
)
def test_the_target_stays_in_its_bounds(steps: list[tuple[int, int, float, int, int]]) -> None:
    rule, now_ns = TransportAdaptation(QUIET), 0
    for after_ns, backlog, pacing_bps, cwnd, srtt_ns in steps:
        now_ns += after_ns
        rule.observe(now_ns, sample(pacing_rate_bps=pacing_bps, cwnd_packets=cwnd, srtt_ns=srtt_ns))
        assert QUIET.min_bps <= rule.update(now_ns, backlog) <= QUIET.max_bps


def test_the_target_rises_eight_per_cent_per_200_ms_of_calm() -> None:
    rate = BacklogAdaptation(QUIET)
    targets = [rate.update(number * 50 * NS_PER_MS, 0) for number in range(13)]
    assert targets == pytest.approx(
        [1e6] * 4 + [1.08e6] * 4 + [1.08**2 * 1e6] * 4 + [1.08**3 * 1e6]
    )


def test_a_backlog_of_a_frame_holds_the_target_and_starts_the_wait_anew() -> None:
    rate = BacklogAdaptation(QUIET)
    frame_bytes = math.ceil(1e6 / 8 / 30)
    rate.update(0, 0)
    assert rate.update(190 * NS_PER_MS, frame_bytes) == 1e6
    assert rate.update(200 * NS_PER_MS, 0) == 1e6
    assert rate.update(399 * NS_PER_MS, frame_bytes - 1) == 1e6
    assert rate.update(400 * NS_PER_MS, 0) == pytest.approx(1.08e6)


def test_a_backlog_of_more_than_150_ms_drops_to_085_of_the_delivery_rate() -> None:
    rate = BacklogAdaptation(QUIET)
    bound_bytes = int(1e6 / 8 * 0.15)
    rate.observe(0, sample(800e3, False))
    assert rate.update(0, bound_bytes) == 1e6
    assert rate.update(FRAME_NS, bound_bytes + 1) == pytest.approx(680e3)
    assert rate.update(2 * FRAME_NS, bound_bytes) == pytest.approx(
        680e3
    )  # again: nothing compounds
    rate.observe(3 * FRAME_NS, sample(300e3, False))
    assert rate.update(3 * FRAME_NS, bound_bytes) == pytest.approx(255e3)


def test_a_drop_never_raises_the_target() -> None:
    rate = BacklogAdaptation(QUIET)
    rate.observe(0, sample(50e6, False))
    assert rate.update(0, 1_000_000) == 1e6


def test_app_limited_and_stale_and_missing_rates_are_not_used() -> None:
    rate = BacklogAdaptation(QUIET)
    assert rate.update(0, 1_000_000) == 1e6  # none known
    rate.observe(0, sample(400e3, True))
    rate.observe(0, sample(math.nan, False))
    assert rate.update(FRAME_NS, 1_000_000) == 1e6
    rate.observe(FRAME_NS, sample(400e3, False))
    assert rate.update(FRAME_NS + NS_PER_S + 1, 1_000_000) == 1e6  # a second old
    rate.observe(2 * NS_PER_S, sample(400e3, False))
    assert rate.update(2 * NS_PER_S, 1_000_000) == pytest.approx(340e3)


def test_nothing_rises_while_frames_are_skipped() -> None:
    rate = BacklogAdaptation(QUIET)
    assert [rate.update(number * NS_PER_S, 0, sending=False) for number in range(5)] == [1e6] * 5


events = st.lists(
    st.tuples(
        st.integers(1, 500),
        st.integers(0, 2_000_000),
        st.floats(1e3, 1e9) | st.just(math.nan),
        st.booleans(),
    )
)


@given(events)
def test_the_target_stays_in_bounds_and_drops_only_to_a_rate_that_was_measured(
    steps: list[tuple[int, int, float, bool]],
) -> None:
    rate, now_ns, allowed = BacklogAdaptation(QUIET), 0, set()
    for after_ms, backlog, delivery_bps, limited in steps:
        now_ns += after_ms * NS_PER_MS
        before = rate.target_bps
        rate.observe(now_ns, sample(delivery_bps, limited))
        if not limited:
            allowed.add(max(0.85 * delivery_bps, QUIET.min_bps))
        after = rate.update(now_ns, backlog)
        assert QUIET.min_bps <= after <= QUIET.max_bps
        if after < before:
            assert after in allowed
        if after > before:
            assert backlog * 8 < before / 30
            assert after <= before * 1.08 * (1 + 1e-12)


@given(st.floats(0.1, 3), st.integers(0, 2**31))
def test_it_settles_below_a_constant_capacity(capacity_mbps: float, seed: int) -> None:
    """A path that drains at a constant rate and reports it: half a minute, then the mean target is
    close beneath.
    """
    options = VideoOptions()
    encoder, rate = Encoder(options, seed), BacklogAdaptation(options)
    backlog_bytes, drained = 0.0, capacity_mbps * 1e6 / 8 / 30
    targets = []
    for number in range(1800):
        now_ns = number * FRAME_NS
        rate.observe(now_ns, sample(capacity_mbps * 1e6, backlog_bytes <= drained))
        frame = encoder.encode(now_ns, rate.update(now_ns, int(backlog_bytes)))
        backlog_bytes = max(0.0, backlog_bytes + frame.size_bytes - drained)
        targets.append(frame.target_bps)
    mean = sum(targets[900:]) / 900
    low = max(0.5 * capacity_mbps * 1e6, options.min_bps)
    assert low <= mean <= max(1.1 * capacity_mbps * 1e6, options.min_bps)
