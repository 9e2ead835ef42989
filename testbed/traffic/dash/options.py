"""Options of dash traffic."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from policy.errors import PolicyError
from policy.tasks.abr.measured import check_live
from policy.tasks.abr.qoe import KINDS, Kind, Qoe, qoe_of
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.video import Video, read_video
from testbed.traffic.abr import DASH_JS, asked_of_server, full_abr_name
from testbed.traffic.base import Options
from testbed.traffic.browser import find as find_chromium
from testbed.traffic.dash.media import Media
from testbed.traffic.dash.video import default_video


class DashOptions(Options):
    """What is streamed, who plays it, and who chooses the levels."""

    abr: str = Field(
        "robust-mpc",
        description="who chooses the level: a rule, policy[:NAME], or dash.js in the browser",
    )
    player: Literal["headless", "chromium"] = Field("headless", description="who plays")
    video: Path | None = Field(
        None, description="manifest (JSON) of the video; null: 48 chunks of 4 s, 300 to 4300 kbit/s"
    )
    chunks: int | None = Field(None, ge=2, description="play so many chunks; null: all")
    qoe: Kind = Field("linear", description=f"measure: {', '.join(KINDS)}")
    start_level: int = Field(1, ge=0, description="level of the first chunk")
    buffer_cap_s: float = Field(60.0, ge=2, le=3600, description="the player buffers no more")
    deadline_ms: float = Field(
        100.0, gt=0, le=10_000, description="policy: wait so long, then take the fallback"
    )
    fallback: str = Field("robust-mpc", description="policy: the rule that answers in its place")

    @field_validator("abr")
    @classmethod
    def _known_abr(cls, abr: str) -> str:
        return full_abr_name(abr)

    @field_validator("fallback")
    @classmethod
    def _known_rule(cls, name: str) -> str:
        check_live(make_rule(name), name)
        return name

    @field_validator("video")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path else None

    @model_validator(mode="after")
    def _consistent(self) -> DashOptions:
        video = self.played
        qoe_of(video, self.qoe)
        if self.start_level >= video.levels:
            raise PolicyError(f"start_level: {self.start_level}, the top is {video.levels - 1}")
        if self.buffer_cap_s * 1000 < 2 * video.chunk_ms:
            raise PolicyError(
                f"buffer_cap_s: {self.buffer_cap_s:g} must hold two chunks of "
                f"{video.chunk_ms / 1000:g} s"
            )
        if self.abr == DASH_JS and self.player != "chromium":
            raise PolicyError("abr dash.js: it lives in the browser; set player to chromium")
        if self.player == "chromium":
            find_chromium()
            smallest, needed = float(video.sizes_bytes.min()), Media(video).smallest_bytes
            if smallest < needed:
                raise PolicyError(
                    f"player chromium: a chunk of {smallest:g} bytes holds no picture; "
                    f"{needed} are needed, or set player to headless"
                )
        return self

    @cached_property
    def played(self) -> Video:
        """The video. Raises PolicyError if the manifest is none."""
        video = default_video() if self.video is None else read_video(self.video)
        return video if self.chunks is None else video.clipped(self.chunks)

    @property
    def measure(self) -> Qoe:
        """The quality of experience that the session is judged by."""
        return qoe_of(self.played, self.qoe)

    def asked(self) -> dict[str, str]:
        """See Options."""
        served = asked_of_server(self.abr)
        return {} if served is None else {"abr": served}
