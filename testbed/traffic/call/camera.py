"""The fake camera: a film that Chromium repeats, in YUV4MPEG2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_FRAMES = 60
_BLOCK = 8  # pixels to a cell of the coarse pattern
_CONTRAST, _GRAIN = 40.0, 5.0


def film(path: Path, width: int, height: int, fps: int, seed: int) -> None:
    """Write a film in which a coarse pattern moves under fresh grain: the encoder can use as many
    bits as it is given, and needs some for every frame. Raises OSError.
    """
    random = np.random.default_rng(seed)
    rows, columns = height // _BLOCK + 2, width // _BLOCK + 2
    coarse = np.kron(random.normal(0, _CONTRAST, (rows, columns)), np.ones((_BLOCK, _BLOCK)))
    grey = bytes([128]) * (width // 2 * (height // 2))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in range(_FRAMES):
            moved = np.roll(coarse, (frame, 2 * frame), (0, 1))[:height, :width]
            light = moved + random.normal(128, _GRAIN, (height, width))
            file.write(b"FRAME\n" + light.clip(16, 235).astype(np.uint8).tobytes() + 2 * grey)
