"""Options of video traffic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from testbed.traffic.base import Options


class VideoOptions(Options):
    """What the encoder produces, how it adapts, and how the receiver plays it."""

    fps: int = Field(30, ge=1, le=240, description="frames per second")
    gop_frames: int = Field(30, ge=1, le=600, description="frames from one I-frame to the next")
    keyframe_ratio: float = Field(
        4.0, ge=1, le=20, description="size of an I-frame relative to a P-frame"
    )
    size_noise: float = Field(
        0.15, ge=0, le=1, description="standard deviation of the log of a frame's size"
    )
    min_bps: float = Field(150e3, gt=0, description="lowest target of the encoder, bit/s")
    max_bps: float = Field(20e6, gt=0, le=1e9, description="highest target, bit/s")
    start_bps: float = Field(1e6, gt=0, le=1e9, description="target at the start, bit/s")
    adaptation: Literal["transport", "backlog"] = Field(
        "transport",
        description="what the target follows: the controller's rate, or the sender's backlog",
    )
    headroom: float = Field(
        0.9, gt=0, le=1, description="transport: share of the allowed rate to use"
    )
    drain_ms: float = Field(
        1000, gt=0, description="transport: time in which a backlog is to drain, ms"
    )
    growth_per_s: float = Field(
        10, gt=1, description="transport: largest growth of the target in a second"
    )
    rise: float = Field(
        0.08, gt=0, le=1, description="backlog: rise of the target per rise_interval_ms"
    )
    rise_interval_ms: float = Field(
        200, gt=0, description="backlog: how long it must stay under a frame, ms"
    )
    drop: float = Field(
        0.85, gt=0, lt=1, description="backlog: share of the delivery rate to drop to"
    )
    drop_backlog_ms: float = Field(
        150, gt=0, description="backlog: ms of the target that make it drop"
    )
    max_frame_age_ms: float = Field(
        500, gt=0, description="waiting frames older than this are skipped, ms"
    )
    jitter_buffer_ms: float = Field(
        100, ge=0, le=5000, description="playout delay of the receiver, ms"
    )

    pause_at_s: float = Field(
        0, ge=0, le=86_400, description="s after the start: the camera is off from here on"
    )
    pause_s: float = Field(0, ge=0, le=86_400, description="length of the pause; 0: none")

    @model_validator(mode="after")
    def _ordered(self) -> VideoOptions:
        if not self.min_bps <= self.start_bps <= self.max_bps:
            raise ValueError(
                f"start_bps must lie between min_bps {self.min_bps:g} and max_bps {self.max_bps:g}"
            )
        return self

    def bounded(self, target_bps: float) -> float:
        """The target that is nearest within the bounds."""
        return min(max(target_bps, self.min_bps), self.max_bps)
