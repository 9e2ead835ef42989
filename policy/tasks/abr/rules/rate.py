"""The throughput rule of Sabre and dash.js: 90 % of the estimate, less where the buffer is
short.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.rules.estimate import Ewma, highest_below
from policy.tasks.abr.session import Sessions

SAFETY = 0.9
# Insufficient-buffer rule: the chunk must arrive while this share of the buffer plays; it falls to
# the floor.
BUFFER_SHARE_START, BUFFER_SHARE_FLOOR = 0.9, 0.5


class Rate:
    """The highest level below 90 % of the throughput whose chunk also arrives before the buffer is
    short.
    """

    def begin(self, sessions: Sessions) -> None:
        self.average = Ewma(sessions.video, len(sessions))
        self._share = BUFFER_SHARE_START

    def decide(self, sessions: Sessions) -> Ints:
        self.average.push(sessions.state)
        return self.choose(sessions)

    def choose(self, sessions: Sessions) -> Ints:
        """The decision on an average that knows the newest chunk already."""
        video, average = sessions.video, self.average
        wanted = highest_below(video, average.kbps * SAFETY, average.latency_ms)
        safe_bits = self._share * (sessions.state.buffer_ms - average.latency_ms) * average.kbps
        self._share = max(self._share * BUFFER_SHARE_START, BUFFER_SHARE_FLOOR)
        too_large = video.bitrates_kbps[None, 1:] * video.chunk_ms > safe_bits[:, None]
        first_too_large = np.where(
            too_large.any(axis=1), too_large.argmax(axis=1), video.levels - 1
        )
        levels: Ints = np.minimum(wanted, first_too_large).astype(np.int64)
        return levels
