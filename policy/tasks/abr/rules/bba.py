"""BBA: the buffer alone decides (Huang et al., SIGCOMM 2014), with the numbers of Pensieve's
comparison.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions


class Bba(Stateless):
    """The lowest level below the reservoir, the highest above reservoir and cushion, in between in
    proportion.
    """

    def __init__(self, reservoir_s: float = 5.0, cushion_s: float = 10.0) -> None:
        self.reservoir_s, self.cushion_s = reservoir_s, cushion_s

    def decide(self, sessions: Sessions) -> Ints:
        buffer_s = sessions.state.buffer_ms / 1000
        top = sessions.video.levels - 1
        between = top * (buffer_s - self.reservoir_s) / self.cushion_s
        level = np.where(buffer_s < self.reservoir_s, 0.0, between)
        level = np.where(buffer_s >= self.reservoir_s + self.cushion_s, top, level)
        return level.astype(np.int64)
