"""The film that the fake camera shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from testbed.traffic.call.camera import film


def test_every_frame_is_a_picture_and_none_is_the_last_one(tmp_path: Path) -> None:
    film(tmp_path / "film.y4m", 160, 96, 30, seed=1)
    head, _, rest = (tmp_path / "film.y4m").read_bytes().partition(b"\n")
    assert head == b"YUV4MPEG2 W160 H96 F30:1 Ip A1:1 C420jpeg"
    pictures = np.frombuffer(rest, np.uint8).reshape(-1, 6 + 160 * 96 * 3 // 2)
    assert len(pictures) == 60
    assert all(bytes(picture[:6]) == b"FRAME\n" for picture in pictures)
    light = pictures[:, 6 : 6 + 160 * 96].astype(int)
    assert light.min() >= 16
    assert light.max() <= 235
    assert np.abs(np.diff(light, axis=0)).mean(axis=1).min() > 5  # there is something to encode
