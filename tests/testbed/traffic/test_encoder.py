"""The encoder's frame sizes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.video.encoder import MAX_FRAME_BYTES, Encoder, capture_offset_ns
from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_S

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
def test_a_group_carries_exactly_the_target(
    target_bps: float, gop: int, ratio: float, fps: int
) -> None:
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
    assert math.sqrt(sum((value - mean) ** 2 for value in logs) / len(logs)) == pytest.approx(
        0.3, rel=0.05
    )


def test_a_pause_puts_off_what_would_fall_into_it() -> None:
    options = VideoOptions(fps=10, pause_at_s=1, pause_s=5)
    offsets = [capture_offset_ns(options, number) / NS_PER_S for number in range(12)]
    assert offsets[:10] == [number / 10 for number in range(10)]
    assert offsets[10:] == [6.0, 6.1]
