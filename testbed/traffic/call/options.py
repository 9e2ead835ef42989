"""Options of call traffic."""

from __future__ import annotations

from pydantic import Field, model_validator

from testbed.traffic.base import Options
from testbed.traffic.browser import find as find_chromium


class CallOptions(Options):
    """What the camera films and how much the encoder may send."""

    width: int = Field(640, ge=160, le=1920, multiple_of=16, description="of the picture, pixels")
    height: int = Field(360, ge=96, le=1080, multiple_of=2, description="of the picture, pixels")
    fps: int = Field(30, ge=5, le=60, description="frames per second")
    max_bps: float = Field(2.5e6, ge=100e3, le=50e6, description="highest target, bit/s")
    jitter_buffer_ms: float = Field(
        100,
        ge=0,
        le=5000,
        description="a frame complete so long after capture is on time; WebRTC chooses its buffer "
        "itself",
    )

    @model_validator(mode="after")
    def _has_a_browser(self) -> CallOptions:
        find_chromium()
        return self
