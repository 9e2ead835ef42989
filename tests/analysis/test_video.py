"""Stalls, freezes, bitrate and frame delay on display times written down by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.metrics.video import (
    VideoMetrics,
    display_gaps_ns,
    freeze_rate,
    jitter_buffer_ns,
    stall_rate,
    video_metrics,
)
from tests.analysis.synthetic import MS, SyntheticCell, frame, load_cell


def measured(tmp_path: Path, frames: list[dict], duration_s: float) -> VideoMetrics:
    cell, flow = load_cell(
        tmp_path,
        SyntheticCell(duration_s=duration_s, flows=[{"kind": "video"}], logs={"frames": frames}),
    )
    found = video_metrics(cell.log("frames"), flow)
    assert found is not None
    return found


def test_stalls_by_hand(tmp_path: Path) -> None:
    # Displayed at 0, 40, 80, 230, 480, 1080, 1120; the flow ends at 1160 ms: gaps 40 40 150 250 600
    # 40 40.
    shown = [0, 40, 80, 230, 480, 1080, 1120]
    frames = [frame(number, at_ms, shown_ms=at_ms, size=1250) for number, at_ms in enumerate(shown)]
    found = measured(tmp_path, frames, 1.16)
    assert found.stall_rate_100ms == pytest.approx((150 + 250 + 600) / 1160)
    assert found.stall_rate_200ms == pytest.approx((250 + 600) / 1160)
    assert found.stall_rate_500ms == pytest.approx(600 / 1160)
    assert found.displayed_frames == 7
    assert found.bitrate_mbps == pytest.approx(7 * 1250 * 8 / 1.16 / 1e6)


def test_start_up_is_no_stall_but_an_open_end_is(tmp_path: Path) -> None:
    frames = [frame(0, 0, shown_ms=400), frame(1, 33, shown_ms=433), frame(2, 66, shown_ms=None)]
    found = measured(tmp_path, frames, 1.0)
    # Playing time runs from 400 ms to 1000 ms; after 433 ms nothing more is shown.
    assert found.stall_rate_500ms == pytest.approx(567 / 600)
    assert found.frame_delay_ms.p50 == pytest.approx(50)


def test_frames_shown_at_one_instant_are_one_and_the_tail_does_not_count(tmp_path: Path) -> None:
    frames = [
        frame(0, 0, shown_ms=0),
        frame(1, 33, shown_ms=300),
        frame(2, 66, shown_ms=300),
        frame(3, 99, shown_ms=500),  # as the flow ends
        frame(4, 133, shown_ms=520),  # after it
    ]
    found = measured(tmp_path, frames, 0.5)
    assert found.stall_rate_200ms == pytest.approx(300 / 500)
    assert found.displayed_frames == 4
    assert found.bitrate_mbps == pytest.approx(4 * 1000 * 8 / 0.5 / 1e6)


def test_skipped_frames(tmp_path: Path) -> None:
    frames = [
        frame(0, 0, shown_ms=0),
        *(frame(n, 33.0 * n, shown_ms=None, sent=False) for n in range(1, 4)),
    ]
    assert measured(tmp_path, frames, 0.2).skipped_share == pytest.approx(3 / 4)


def test_nothing_displayed_is_one_long_stall(tmp_path: Path) -> None:
    found = measured(tmp_path, [frame(0, 0, shown_ms=None)], 1.0)
    assert (found.stall_rate_100ms, found.stall_rate_500ms, found.freeze_rate) == (1, 1, 1)
    assert found.bitrate_mbps == 0
    assert found.frame_delay_ms.p95 is None


def test_no_frames_no_metrics(tmp_path: Path) -> None:
    cell, flow = load_cell(tmp_path, SyntheticCell(flows=[{"kind": "video"}]))
    assert video_metrics(cell.log("frames"), flow) is None


def gaps(*milliseconds: float) -> np.ndarray:
    return np.array([round(ms * MS) for ms in milliseconds], dtype=np.int64)


def test_stalls_are_longer_than_the_threshold_not_equal() -> None:
    assert stall_rate(gaps(100, 100), 100 * MS) == 0
    assert stall_rate(gaps(100, 101), 100 * MS) == pytest.approx(101 / 201)


def test_freezes_by_hand() -> None:
    # Average 40: the bound is max(120, 190) = 190 ms. 189 is none, 190 is one, but the 189 has
    # moved the average.
    assert freeze_rate(gaps(40, 40, 40, 189)) == 0
    assert freeze_rate(gaps(40, 40, 40, 190)) == pytest.approx(190 / 310)
    assert freeze_rate(gaps(40, 40, 40, 189, 190)) == 0
    # Average 100: 3 x 100 beats 100 + 150.
    assert freeze_rate(gaps(100, 100, 299)) == 0
    assert freeze_rate(gaps(100, 100, 300)) == pytest.approx(300 / 500)
    assert freeze_rate(gaps(5000)) == 0  # the first gap has no average to be held against


def test_the_average_of_freezes_is_of_thirty_frames() -> None:
    long_ago = [400.0] * 50 + [40.0] * 30
    assert freeze_rate(gaps(*long_ago, 190)) == pytest.approx(190 / (50 * 400 + 30 * 40 + 190))


shown_lists = st.lists(st.integers(0, 5000), min_size=1, max_size=60)


@given(shown=shown_lists)
def test_stall_rates_are_shares_and_shrink_with_the_threshold(shown: list[int]) -> None:
    import pandas as pd

    frames = pd.DataFrame({"displayed_ns": np.sort(np.array(shown, dtype=np.int64)) * MS})
    found = display_gaps_ns(frames, 5000 * MS)
    assert found.sum() == (5000 - min(shown)) * MS  # playing time, whatever happened in it
    rates = [stall_rate(found, threshold * MS) for threshold in (100, 200, 500)]
    assert all(0 <= rate <= 1 for rate in (*rates, freeze_rate(found)))
    assert rates == sorted(rates, reverse=True)


def test_on_time_by_hand(tmp_path: Path) -> None:
    """Two frames within 100 ms, one within 200 ms, one later, one never sent, one after the end."""
    frames = [
        frame(0, 0, shown_ms=100, delay_ms=60, size=10_000),
        frame(1, 100, shown_ms=200, delay_ms=100, size=20_000),
        frame(2, 200, shown_ms=350, delay_ms=150, size=40_000),
        frame(3, 300, shown_ms=900, delay_ms=600, size=80_000),
        frame(4, 400, shown_ms=None, sent=False),
        frame(5, 950, shown_ms=1010, delay_ms=60, size=160_000),
    ]
    found = measured(tmp_path, frames, 1.0)
    assert found.on_time_100ms_bitrate_mbps == pytest.approx(30_000 * 8 / 1e6)
    assert found.on_time_100ms_share == pytest.approx(2 / 6)
    assert found.on_time_200ms_bitrate_mbps == pytest.approx(70_000 * 8 / 1e6)
    assert found.on_time_200ms_share == pytest.approx(3 / 6)
    assert found.on_time_bitrate_mbps == found.on_time_100ms_bitrate_mbps
    # Pictures shown seconds late count as displayed ones.
    assert found.bitrate_mbps == pytest.approx(150_000 * 8 / 0.9 / 1e6)


def test_on_time_follows_the_receivers_jitter_buffer(tmp_path: Path) -> None:
    frames = [frame(0, 0, shown_ms=150, delay_ms=150, size=10_000)]
    flows = [{"kind": "video", "options": {"jitter_buffer_ms": 160}}]
    cell, flow = load_cell(tmp_path, SyntheticCell(flows=flows, logs={"frames": frames}))
    found = video_metrics(cell.log("frames"), flow)
    assert found is not None
    assert (found.on_time_share, found.on_time_100ms_share) == (1.0, 0.0)


@pytest.mark.parametrize("value", ["long", None, -1, 1e12])
def test_a_jitter_buffer_that_is_none_is_the_default(value: object, tmp_path: Path) -> None:
    flows = [{"kind": "video", "options": {"jitter_buffer_ms": value}}]
    _, flow = load_cell(tmp_path, SyntheticCell(flows=flows))
    assert jitter_buffer_ns(flow) == 100 * MS


def test_a_pause_of_the_camera_is_no_gap() -> None:
    # Frames at 0, 1 and 2 s, then the camera is off for 10 s, then frames at 13 and 14 s.
    captured_ns = np.array([0, 1, 2, 13, 14]) * 10**9
    frames = pd.DataFrame({"captured_ns": captured_ns, "displayed_ns": captured_ns + 10**8})
    gaps_s = display_gaps_ns(frames, 15 * 10**9, pause_ns=10 * 10**9) / 1e9
    assert gaps_s.tolist() == pytest.approx([1, 1, 1, 1, 0.9])
