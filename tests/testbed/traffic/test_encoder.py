"""The encoder's sizes and the rule that sets its target."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.video.encoder import MAX_FRAME_BYTES, Encoder, RateControl
from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_MS, NS_PER_S

FRAME_NS = NS_PER_S // 30
QUIET = VideoOptions(size_noise=0)


def test_a_group_of_pictures_by_hand() -> None:
    # 1.2 Mbit/s at 30 fps: 150 kB a second in 1 x 4 + 29 x 1 parts of 150000 / 33.
    encoder = Encoder(QUIET, 1)
    frames = [encoder.encode(number * FRAME_NS, 1.2e6) for number in range(31)]
    assert [frame.number for frame in frames] == list(range(31))
    assert [frame.number for frame in frames if frame.keyframe] == [0, 30]
    assert frames[0].size_bytes == round(4 * 150_000 / 33)
    assert {frame.size_bytes for frame in frames[1:30]} == {round(150_000 / 33)}
    assert frames[3].captured_ns == 3 * FRAME_NS
    assert frames[3].target_bps == 1.2e6


@given(
    target_bps=st.floats(150e3, 20e6),
    gop=st.integers(1, 120),
    ratio=st.floats(1, 20),
    fps=st.integers(5, 120),
)
def test_a_group_carries_exactly_the_target(target_bps: float, gop: int, ratio: float, fps: int) -> None:
    encoder = Encoder(VideoOptions(size_noise=0, gop_frames=gop, keyframe_ratio=ratio, fps=fps), 1)
    sizes = [encoder.encode(0, target_bps).size_bytes for _ in range(gop)]
    assert max(sizes[1:], default=0) <= sizes[0] + 1
    if min(sizes) > 64:  # the smallest frame
        assert sum(sizes) == pytest.approx(target_bps / 8 * gop / fps, abs=gop)


@given(seed=st.integers(0, 2**32))
def test_noise_is_seeded_and_bounded(seed: int) -> None:
    options = VideoOptions(size_noise=1.0)
    first, second = Encoder(options, seed), Encoder(options, seed)
    sizes = [first.encode(0, 20e6).size_bytes for _ in range(60)]
    assert sizes == [second.encode(0, 20e6).size_bytes for _ in range(60)]
    assert all(64 <= size <= MAX_FRAME_BYTES for size in sizes)


def test_noise_keeps_the_mean() -> None:
    encoder = Encoder(VideoOptions(size_noise=0.3, gop_frames=1), 5)
    sizes = [encoder.encode(0, 2.4e6).size_bytes for _ in range(20_000)]
    assert sum(sizes) / len(sizes) == pytest.approx(10_000, rel=0.01)
    logs = [math.log(size) for size in sizes]
    mean = sum(logs) / len(logs)
    assert math.sqrt(sum((value - mean) ** 2 for value in logs) / len(logs)) == pytest.approx(0.3, rel=0.05)


def test_the_target_rises_eight_per_cent_per_200_ms_of_calm() -> None:
    rate = RateControl(QUIET)
    targets = [rate.update(number * 50 * NS_PER_MS, 0) for number in range(13)]
    assert targets == pytest.approx([1e6] * 4 + [1.08e6] * 4 + [1.08**2 * 1e6] * 4 + [1.08**3 * 1e6])


def test_a_backlog_of_a_frame_holds_the_target_and_starts_the_wait_anew() -> None:
    rate = RateControl(QUIET)
    frame_bytes = math.ceil(1e6 / 8 / 30)
    rate.update(0, 0)
    assert rate.update(190 * NS_PER_MS, frame_bytes) == 1e6
    assert rate.update(200 * NS_PER_MS, 0) == 1e6
    assert rate.update(399 * NS_PER_MS, frame_bytes - 1) == 1e6
    assert rate.update(400 * NS_PER_MS, 0) == pytest.approx(1.08e6)


def test_a_backlog_of_more_than_150_ms_drops_to_085_of_the_delivery_rate() -> None:
    rate = RateControl(QUIET)
    bound_bytes = int(1e6 / 8 * 0.15)
    rate.delivery_rate(0, 800e3, False)
    assert rate.update(0, bound_bytes) == 1e6
    assert rate.update(FRAME_NS, bound_bytes + 1) == pytest.approx(680e3)
    assert rate.update(2 * FRAME_NS, bound_bytes) == pytest.approx(680e3)  # again: nothing compounds
    rate.delivery_rate(3 * FRAME_NS, 300e3, False)
    assert rate.update(3 * FRAME_NS, bound_bytes) == pytest.approx(255e3)


def test_a_drop_never_raises_the_target() -> None:
    rate = RateControl(QUIET)
    rate.delivery_rate(0, 50e6, False)
    assert rate.update(0, 1_000_000) == 1e6


def test_app_limited_and_stale_and_missing_rates_are_not_used() -> None:
    rate = RateControl(QUIET)
    assert rate.update(0, 1_000_000) == 1e6  # none known
    rate.delivery_rate(0, 400e3, True)
    rate.delivery_rate(0, math.nan, False)
    assert rate.update(FRAME_NS, 1_000_000) == 1e6
    rate.delivery_rate(FRAME_NS, 400e3, False)
    assert rate.update(FRAME_NS + NS_PER_S + 1, 1_000_000) == 1e6  # a second old
    rate.delivery_rate(2 * NS_PER_S, 400e3, False)
    assert rate.update(2 * NS_PER_S, 1_000_000) == pytest.approx(340e3)


def test_nothing_rises_while_frames_are_skipped() -> None:
    rate = RateControl(QUIET)
    assert [rate.update(number * NS_PER_S, 0, sending=False) for number in range(5)] == [1e6] * 5


events = st.lists(
    st.tuples(
        st.integers(1, 500), st.integers(0, 2_000_000), st.floats(1e3, 1e9) | st.just(math.nan), st.booleans()
    )
)


@given(events)
def test_the_target_stays_in_bounds_and_drops_only_to_a_rate_that_was_measured(
    steps: list[tuple[int, int, float, bool]],
) -> None:
    rate, now_ns, allowed = RateControl(QUIET), 0, set()
    for after_ms, backlog, delivery_bps, limited in steps:
        now_ns += after_ms * NS_PER_MS
        before = rate.target_bps
        rate.delivery_rate(now_ns, delivery_bps, limited)
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
    """A path that drains at a constant rate and reports it: half a minute, then the mean target is close beneath."""
    options = VideoOptions()
    encoder, rate = Encoder(options, seed), RateControl(options)
    backlog_bytes, drained = 0.0, capacity_mbps * 1e6 / 8 / 30
    targets = []
    for number in range(1800):
        now_ns = number * FRAME_NS
        rate.delivery_rate(now_ns, capacity_mbps * 1e6, backlog_bytes <= drained)
        frame = encoder.encode(now_ns, rate.update(now_ns, int(backlog_bytes)))
        backlog_bytes = max(0.0, backlog_bytes + frame.size_bytes - drained)
        targets.append(frame.target_bps)
    mean = sum(targets[900:]) / 900
    low = max(0.5 * capacity_mbps * 1e6, options.min_bps)
    assert low <= mean <= max(1.1 * capacity_mbps * 1e6, options.min_bps)
