"""Manifests: what is accepted, and the one line that says what is wrong."""

import json
from pathlib import Path

import pytest

from policy.errors import PolicyError
from policy.tasks.abr.video import read_video

GOOD = {
    "name": "test",
    "segment_duration_ms": 4000,
    "bitrates_kbps": [1000, 2000],
    "segment_sizes_bits": [[4e6, 8e6], [4e6, 8e6]],
}


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "video.json"
    path.write_text(json.dumps(GOOD | changes))
    return path


def test_sizes_become_bytes(tmp_path):
    video = read_video(written(tmp_path))
    assert video.sizes_bytes.tolist() == [[5e5, 1e6], [5e5, 1e6]]
    assert (video.levels, video.chunks, video.chunk_ms) == (2, 2, 4000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment_sizes_bits": [[4e6, 8e6], [4e6]]}, "segment 1 has 1 values for 2 levels"),
        ({"bitrates_kbps": [1000], "segment_sizes_bits": [[4e6], [4e6]]}, "bitrates_kbps"),
        ({"bitrates_kbps": [2000, 1000]}, "rise from level to level"),
        ({"segment_sizes_bits": [[0, 8e6], [4e6, 8e6]]}, "above 0"),
        ({"segment_duration_ms": -1}, "segment_duration_ms"),
        ({"quality": {"metric": "vmaf", "values": [[1, 2]]}}, "1 segments"),
    ],
)
def test_faults_are_named_in_one_line(tmp_path, changes, message):
    with pytest.raises(PolicyError, match=message) as error:
        read_video(written(tmp_path, **changes))
    assert "\n" not in str(error.value)
    assert "video.json" in str(error.value)


def test_missing_sizes_and_no_json(tmp_path):
    path = written(tmp_path)
    path.write_text(
        json.dumps({key: value for key, value in GOOD.items() if key != "segment_sizes_bits"})
    )
    with pytest.raises(PolicyError, match="segment_sizes_bits: is missing; a manifest has name"):
        read_video(path)
    path.write_text("seconds")
    with pytest.raises(PolicyError, match="not JSON"):
        read_video(path)
    with pytest.raises(PolicyError, match="cannot be read"):
        read_video(tmp_path / "none.json")
