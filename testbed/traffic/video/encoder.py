"""The encoder: frame sizes for a target bitrate. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_S

MAX_FRAME_BYTES = 16 * 1024 * 1024  # what the receiver accepts


@dataclass(frozen=True)
class Frame:
    """An encoded frame."""

    number: int
    keyframe: bool
    captured_ns: int
    size_bytes: int
    target_bps: float


def capture_offset_ns(options: VideoOptions, number: int) -> int:
    """When the frame of that number is captured, after the first one. A pause puts off all that
    would have fallen behind its beginning.
    """
    offset_ns = round(number * NS_PER_S / options.fps)
    paused = offset_ns >= options.pause_at_s * NS_PER_S
    return offset_ns + round(options.pause_s * NS_PER_S) * paused


class Encoder:
    """Frame sizes: a group of n pictures has one I-frame of r times a P-frame, and n frames' worth
    of the target.
    """

    def __init__(self, options: VideoOptions, seed: int) -> None:
        self._options = options
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._number = 0

    def encode(self, now_ns: int, target_bps: float) -> Frame:
        """The next frame. Its size has log-normal noise of mean 1."""
        options = self._options
        keyframe = self._number % options.gop_frames == 0
        frame_bytes = target_bps / 8 / options.fps
        p_bytes = (
            frame_bytes * options.gop_frames / (options.gop_frames - 1 + options.keyframe_ratio)
        )
        noise = math.exp(self._random.normal(-(options.size_noise**2) / 2, options.size_noise))
        size_bytes = round(p_bytes * (options.keyframe_ratio if keyframe else 1) * noise)
        size_bytes = min(max(64, size_bytes), MAX_FRAME_BYTES)
        frame = Frame(self._number, keyframe, now_ns, size_bytes, target_bps)
        self._number += 1
        return frame
