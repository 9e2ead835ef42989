"""How live rankings are held against simulated ones."""

import numpy as np
import pytest

from experiments.abr.live_goals import CHUNK_S, CHUNKS, kendall, manifest
from policy.tasks.abr.video import read_video


def test_tau_counts_pairs_in_the_same_order():
    assert kendall(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == 1
    # One of three pairs is turned round.
    assert kendall(np.array([1.0, 2, 3]), np.array([10.0, 30, 20])) == pytest.approx(1 / 3)


def test_the_short_video_has_the_bitrates_of_the_long_one(tmp_path):
    (tmp_path / "videos").mkdir()
    sizes = [[1_200_000, 3_000_000]] * 40
    (tmp_path / "videos" / "envivio.json").write_text(
        '{"name": "envivio", "segment_duration_ms": 4000, "bitrates_kbps": [300, 750], '
        f'"segment_sizes_bits": {sizes}}}'
    )
    video = read_video(manifest(tmp_path, tmp_path))
    assert (video.chunks, video.chunk_ms) == (CHUNKS, CHUNK_S * 1000)
    assert video.sizes_bytes[0] * 8 / video.chunk_ms == pytest.approx([300, 750])
