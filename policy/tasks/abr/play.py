"""Plays a video to its end under a policy, and sums up each session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.session import Sessions


@dataclass(frozen=True, eq=False)
class Played:
    """One entry a session [n]; chunk 0, which no policy decides, is left out.

    `qoe` is the mean per chunk; `stall_ratio` is stall over stall and play time.
    """

    qoe: Floats
    bitrate_kbps: Floats
    stall_s: Floats
    stall_ratio: Floats
    switches: Floats
    chunks: int


def play(policy: Abr, sessions: Sessions) -> Played:
    """Plays sessions that stand at chunk 1 to the end."""
    n, chunks = len(sessions), sessions.chunks_left
    qoe, kbps, stall_ms, switches = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    policy.begin(sessions)
    while not sessions.done:
        before = sessions.state.level.copy()
        step = sessions.step(policy.decide(sessions))
        qoe += step.reward
        stall_ms += step.stall_ms
        kbps += sessions.video.bitrates_kbps[sessions.state.level]
        switches += sessions.state.level != before
    played_ms = chunks * sessions.video.chunk_ms
    return Played(
        qoe / chunks,
        kbps / chunks,
        stall_ms / 1000,
        stall_ms / (stall_ms + played_ms),
        switches,
        chunks,
    )
