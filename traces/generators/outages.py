"""A link that fails: full rate and nothing in turn, with exponential durations (an alternating
renewal process).
"""

from __future__ import annotations

import numpy as np

from traces.generators.base import Mbps, Parameters, Seconds, dwell_starts, steps_trace
from traces.model import Trace


class OutageParameters(Parameters):
    rate_mbps: Mbps = 12.0
    up_mean_s: Seconds = 8.0
    down_mean_s: Seconds = 0.6


class Outages:
    name = "outages"
    description = "one rate, interrupted by outages of random length"

    def generate(
        self, parameters: OutageParameters, duration_ns: int, rng: np.random.Generator
    ) -> Trace:
        start_ns, down = dwell_starts(
            duration_ns, (parameters.up_mean_s, parameters.down_mean_s), rng
        )
        return steps_trace(
            self.name, start_ns, np.where(down == 1, 0.0, parameters.rate_mbps), duration_ns
        )
