"""BOLA (Spiteri et al., INFOCOM 2016), with the throughput cap on upward switches of BOLA-U as in
Sabre.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.rules.estimate import Ewma, highest_below
from policy.tasks.abr.session import Sessions

GAMMA_P = 5.0


class Bola:
    """Maximises (V (utility + gamma p) - buffer) / bitrate; utility is ln(bitrate / lowest).

    V follows from the buffer that is aimed for: `target_s`, less near both ends of the video.
    `target_s` None takes the sessions' buffer cap.
    """

    def __init__(self, target_s: float | None = None) -> None:
        self.target_s = target_s

    def begin(self, sessions: Sessions) -> None:
        self.average = Ewma(sessions.video, len(sessions))
        self._last: Ints = sessions.state.level.copy()

    def decide(self, sessions: Sessions) -> Ints:
        self.average.push(sessions.state)
        return self.choose(sessions, self.average)

    def choose(self, sessions: Sessions, average: Ewma) -> Ints:
        """The decision on an average that knows the newest chunk already."""
        video = sessions.video
        utility = np.log(video.bitrates_kbps) - np.log(video.bitrates_kbps[0])
        from_ends = min(sessions.chunk, sessions.chunks_left)
        cap_ms = sessions.buffer_cap_ms if self.target_s is None else self.target_s * 1000
        target_ms = min(cap_ms, max(from_ends / 2, 3) * video.chunk_ms)
        v = (target_ms - video.chunk_ms) / (utility[-1] + GAMMA_P)
        buffer: Floats = sessions.state.buffer_ms[:, None]
        wanted = ((v * (utility + GAMMA_P) - buffer) / video.bitrates_kbps).argmax(axis=1)
        affordable = highest_below(video, average.kbps, average.latency_ms)
        capped = np.where(self._last > affordable, self._last, affordable + 1)
        rises_too_far = (wanted > self._last) & (wanted > affordable)
        self._last = np.where(rises_too_far, capped, wanted).astype(np.int64)
        return self._last
