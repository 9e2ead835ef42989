"""Quality of experience per chunk: u(chunk, level) - stall penalty x stall - |u - u of the chunk
before|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.video import Floats, Video

Kind = Literal["linear", "log", "quality"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Qoe:
    """`utility` [chunks, levels], and what a second of stall and a step of utility cost."""

    kind: Kind
    utility: Floats
    stall_per_s: float
    switch: float = 1.0


def qoe_of(video: Video, kind: Kind = "linear") -> Qoe:
    """The three measures of the field, for any ladder.

    `linear`: Mbit/s, a second of stall costs the top bitrate (Yin et al., SIGCOMM 2015; 4.3 on
    Pensieve's ladder). `log`: ln(bitrate / lowest), a second of stall costs the top utility (2.66
    on
    Pensieve's ladder; Mao et al., SIGCOMM 2017). `quality`: the manifest's picture quality / 20,
    so that VMAF 100 is
    5; a second of stall costs 5. Raises PolicyError if the manifest has no quality.
    """
    shape = video.sizes_bytes.shape
    if kind == "linear":
        rates = video.bitrates_kbps / 1000.0
        return Qoe(kind, np.ascontiguousarray(np.broadcast_to(rates, shape)), float(rates[-1]))
    if kind == "log":
        logs = np.log(video.bitrates_kbps / video.bitrates_kbps[0])
        return Qoe(kind, np.ascontiguousarray(np.broadcast_to(logs, shape)), float(logs[-1]))
    if kind != "quality":
        raise PolicyError(f"no QoE {kind!r}; there are {', '.join(KINDS)}")
    if video.quality is None:
        raise PolicyError(
            f"video {video.name}: its manifest has no quality; use --qoe linear or log"
        )
    return Qoe(kind, np.ascontiguousarray(video.quality / 20.0), 5.0)
