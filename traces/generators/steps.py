"""Given rates, one after the other: how fast does a controller find a new rate?"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from traces.forms import NS_PER_S
from traces.generators.base import MAX_RATE_MBPS, Parameters, Seconds, regular_starts, steps_trace
from traces.model import Trace

Level = Annotated[float, Field(ge=0, le=MAX_RATE_MBPS, allow_inf_nan=False)]


class StepsParameters(Parameters):
    levels_mbps: tuple[Level, ...] = Field((12.0, 4.0, 24.0, 8.0), min_length=1)
    step_s: Seconds = 10.0


class RateSteps:
    name = "steps"
    description = "given rates in turn, each held for the same time"

    def generate(
        self, parameters: StepsParameters, duration_ns: int, rng: np.random.Generator
    ) -> Trace:
        start_ns = regular_starts(duration_ns, round(parameters.step_s * NS_PER_S))
        levels = np.array(parameters.levels_mbps)
        return steps_trace(
            self.name, start_ns, levels[np.arange(len(start_ns)) % len(levels)], duration_ns
        )
