"""The encoder: frame sizes for a target bitrate, and the rule that sets the target. Pure.

The rule is the same for every congestion controller, so that only the controller differs between cells. It never
feeds an app-limited rate back into itself: the target rises on an empty backlog, whatever rate was measured, and
drops only to a delivery rate that was measured while there was more to send.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from testbed.traffic.video.options import VideoOptions
from testbed.units import NS_PER_MS, NS_PER_S

MAX_FRAME_BYTES = 16 * 1024 * 1024  # what the receiver accepts

# A delivery rate older than this says nothing about the path of now.
_RATE_VALID_NS = NS_PER_S


@dataclass(frozen=True)
class Frame:
    """An encoded frame."""

    number: int
    keyframe: bool
    captured_ns: int
    size_bytes: int
    target_bps: float


class Encoder:
    """Frame sizes: a group of n pictures has one I-frame of r times a P-frame, and n frames' worth of the target."""

    def __init__(self, options: VideoOptions, seed: int) -> None:
        self._options = options
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._number = 0

    def encode(self, now_ns: int, target_bps: float) -> Frame:
        """The next frame. Its size has log-normal noise of mean 1."""
        options = self._options
        keyframe = self._number % options.gop_frames == 0
        frame_bytes = target_bps / 8 / options.fps
        p_bytes = frame_bytes * options.gop_frames / (options.gop_frames - 1 + options.keyframe_ratio)
        noise = math.exp(self._random.normal(-(options.size_noise**2) / 2, options.size_noise))
        size_bytes = round(p_bytes * (options.keyframe_ratio if keyframe else 1) * noise)
        size_bytes = min(max(64, size_bytes), MAX_FRAME_BYTES)
        frame = Frame(self._number, keyframe, now_ns, size_bytes, target_bps)
        self._number += 1
        return frame


class RateControl:
    """The encoder's target bitrate, from the sender's backlog and delivery rate.

    - Up by ``rise`` when the backlog stayed under one average frame for ``rise_interval_ms``;
    - down to ``drop`` times the delivery rate when the backlog exceeds ``drop_backlog_ms`` of the target;
    - held in between, and where a drop is due but no valid delivery rate is known.
    A drop does not multiply the target by itself: while the delivery rate stays, a second one changes nothing.
    """

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self.target_bps = options.start_bps
        self._calm_since_ns: int | None = None
        self._rate_bps = math.nan
        self._rate_at_ns = 0

    def delivery_rate(self, now_ns: int, rate_bps: float, app_limited: bool) -> None:
        """A TCP_INFO sample; app-limited ones say what was offered, not what the path carries, and are ignored."""
        if not app_limited and not math.isnan(rate_bps):
            self._rate_bps, self._rate_at_ns = rate_bps, now_ns

    def update(self, now_ns: int, backlog_bytes: int, *, sending: bool = True) -> float:
        """The target (bit/s) given the unsent backlog; call it once per frame, before encoding.

        ``sending`` is false while frames are skipped: an empty backlog then says nothing about the path.
        """
        options = self._options
        if not sending or backlog_bytes * 8 >= self.target_bps / options.fps:
            self._calm_since_ns = None
        elif self._calm_since_ns is None:
            self._calm_since_ns = now_ns
        backlog_ms = backlog_bytes * 8 / self.target_bps * 1000
        rate_known = now_ns - self._rate_at_ns <= _RATE_VALID_NS and not math.isnan(self._rate_bps)
        if backlog_ms > options.drop_backlog_ms and rate_known:
            self._set(min(self.target_bps, options.drop * self._rate_bps))
        elif (
            self._calm_since_ns is not None
            and now_ns - self._calm_since_ns >= options.rise_interval_ms * NS_PER_MS
        ):
            self._set(self.target_bps * (1 + options.rise))
            self._calm_since_ns = now_ns
        return self.target_bps

    def _set(self, target_bps: float) -> None:
        self.target_bps = min(max(target_bps, self._options.min_bps), self._options.max_bps)
