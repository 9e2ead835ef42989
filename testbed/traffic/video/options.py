"""Options of video traffic."""

from __future__ import annotations

from pydantic import Field, model_validator

from testbed.traffic.base import Options


class VideoOptions(Options):
    """What the encoder produces, how it adapts, and how the receiver plays it."""

    fps: int = Field(30, ge=1, le=240, description="frames per second")
    gop_frames: int = Field(30, ge=1, le=600, description="frames from one I-frame to the next")
    keyframe_ratio: float = Field(4.0, ge=1, le=20, description="size of an I-frame relative to a P-frame")
    size_noise: float = Field(0.15, ge=0, le=1, description="standard deviation of the log of a frame's size")
    min_bps: float = Field(150e3, gt=0, description="lowest target of the encoder, bit/s")
    max_bps: float = Field(20e6, gt=0, le=1e9, description="highest target, bit/s")
    start_bps: float = Field(1e6, gt=0, le=1e9, description="target at the start, bit/s")
    rise: float = Field(0.08, gt=0, le=1, description="relative rise of the target per rise_interval_ms")
    rise_interval_ms: float = Field(200, gt=0, description="how long the backlog must stay under a frame, ms")
    drop: float = Field(0.85, gt=0, lt=1, description="share of the delivery rate that the target drops to")
    drop_backlog_ms: float = Field(150, gt=0, description="backlog, in ms of the target, that makes it drop")
    max_frame_age_ms: float = Field(500, gt=0, description="waiting frames older than this are skipped, ms")
    jitter_buffer_ms: float = Field(100, ge=0, le=5000, description="playout delay of the receiver, ms")

    @model_validator(mode="after")
    def _ordered(self) -> VideoOptions:
        if not self.min_bps <= self.start_bps <= self.max_bps:
            raise ValueError(
                f"start_bps must lie between min_bps {self.min_bps:g} and max_bps {self.max_bps:g}"
            )
        return self
