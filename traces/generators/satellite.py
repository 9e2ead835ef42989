"""A low-orbit satellite link: every 15 s the terminal is given another satellite, with another rate
and delay.

The 15 s grid is Starlink's, measured by Tanveer et al., "Making Sense of Constellations" (LEO-NET
2023). Rates, delays and the gap at a hand-over are plausible, not fitted: the project has no
recording to fit them to.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from traces.forms import NS_PER_S
from traces.generators.base import Mbps, Parameters, Seconds, Share, check_count, steps_trace
from traces.model import Trace

STEP_NS = 500_000_000
DelayMs = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class SatelliteParameters(Parameters):
    mean_mbps: Mbps = 60.0
    spread: Annotated[float, Field(ge=0, le=2)] = (
        0.35  # log-standard deviation from satellite to satellite
    )
    flicker: Annotated[float, Field(ge=0, le=2)] = (
        0.12  # log-standard deviation from 500 ms to 500 ms
    )
    interval_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    gap_mean_s: Seconds = 0.12
    gap_chance: Share = 0.6  # of a hand-over that interrupts the link
    delay_ms: tuple[DelayMs, DelayMs] = (12.0, 28.0)  # one-way, drawn per satellite


class Satellite:
    name = "satellite"
    description = "low-orbit hand-over every 15 s: new rate, new delay, a short gap (not fitted)"

    def generate(
        self, parameters: SatelliteParameters, duration_ns: int, rng: np.random.Generator
    ) -> Trace:
        check_count(duration_ns / STEP_NS, "steps")
        starts, rates, delays = [], [], []
        interval_ns = round(parameters.interval_s * NS_PER_S)
        for begin_ns in range(0, duration_ns, interval_ns):
            end_ns = min(begin_ns + interval_ns, duration_ns)
            level = parameters.mean_mbps * _lognormal(parameters.spread, rng)
            delay_ns = round(rng.uniform(min(parameters.delay_ms), max(parameters.delay_ms)) * 1e6)
            at_ns = begin_ns
            if begin_ns > 0 and rng.random() < parameters.gap_chance:
                starts.append(at_ns)
                rates.append(0.0)
                delays.append(delay_ns)
                gap_ns = round(rng.exponential(parameters.gap_mean_s) * NS_PER_S)
                at_ns += int(np.clip(gap_ns, 1_000_000, interval_ns // 2))
            while at_ns < end_ns:
                starts.append(at_ns)
                rates.append(level * _lognormal(parameters.flicker, rng))
                delays.append(delay_ns)
                at_ns = (at_ns // STEP_NS + 1) * STEP_NS
        return steps_trace(
            self.name, np.array(starts), np.array(rates), duration_ns, np.array(delays)
        )


def _lognormal(sigma: float, rng: np.random.Generator) -> float:
    """Mean 1, whatever the spread."""
    return float(np.exp(sigma * rng.standard_normal() - sigma * sigma / 2))
