"""How much of the engine's throughput is to be had within the deadline. Pure."""

from __future__ import annotations

import numpy as np

from policy.scheduler.base import Load
from policy.scheduler.thresholds import AdaptiveConfig

_LEAST = 0.1
_LESS, _MORE = 0.8, 1.03


class Room:
    """A share of the throughput: what was admitted when windows were refused, less after late
    answers, and a little more as long as neither happens.
    """

    def __init__(self, config: AdaptiveConfig) -> None:
        self._config = config
        self.share = config.share

    def learn(self, load: Load) -> None:
        """Take an interval of more than no time into account."""
        config, interval_s = self._config, load.interval_ns / 1e9
        refused = load.candidates - load.admitted
        if load.late > config.late_share * max(load.admitted, 1):
            wanted = self.share * _LESS
        elif refused > config.refused_share * load.candidates:
            had = (load.admitted - load.late) / interval_s / max(load.capacity_per_s, 1e-9)
            wanted = self.share + (min(had, self.share) - self.share) / 2
        else:
            wanted = self.share * _MORE
        self.share = float(np.clip(wanted, _LEAST, config.share))
