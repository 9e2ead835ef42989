"""A constant rate."""

from __future__ import annotations

import numpy as np

from traces.generators.base import Mbps, Parameters, steps_trace
from traces.model import Trace


class ConstantParameters(Parameters):
    rate_mbps: Mbps = 12.0


class Constant:
    name = "constant"
    description = "one rate throughout"

    def generate(
        self, parameters: ConstantParameters, duration_ns: int, rng: np.random.Generator
    ) -> Trace:
        return steps_trace(self.name, np.array([0]), np.array([parameters.rate_mbps]), duration_ns)
