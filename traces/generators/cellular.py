"""LTE-like and 5G-mmWave-like traces: Markov-modulated rates, fitted to recordings by
scripts/fit_traces.py.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from traces.generators.base import Mbps, Parameters, regular_starts, steps_trace
from traces.generators.markov import STEP_NS, MarkovModel
from traces.generators.packets import with_bursts
from traces.model import Trace

FITTED = Path(__file__).parent / "fitted.json"
Burst = Annotated[float, Field(ge=1, le=1000)]


@cache
def fitted_models() -> dict[str, MarkovModel]:
    """The fitted models by name, as scripts/fit_traces.py wrote them."""
    return {name: MarkovModel(**model) for name, model in json.loads(FITTED.read_text()).items()}


class LteParameters(Parameters):
    scenario: Literal["driving", "driving-fast", "walking", "city"] = "driving"
    mean_mbps: Mbps | None = None  # rescales the long-run mean; None keeps that of the recordings
    opportunities: bool = True  # delivery opportunities instead of one rate per second
    burst_packets: Burst = 1.7


class MmWaveParameters(Parameters):
    scenario: Literal["driving", "walking"] = "walking"
    mean_mbps: Mbps | None = None
    opportunities: bool = False
    burst_packets: Burst = 1.7


class Cellular:
    """`technology` prefixes the names of the fitted models, one per scenario."""

    def __init__(self, name: str, technology: str, description: str) -> None:
        self.name, self.technology, self.description = name, technology, description

    def generate(
        self,
        parameters: LteParameters | MmWaveParameters,
        duration_ns: int,
        rng: np.random.Generator,
    ) -> Trace:
        model = fitted_models()[f"{self.technology}-{parameters.scenario}"]
        start_ns = regular_starts(duration_ns, STEP_NS)
        rates = model.rates_mbps(len(start_ns), rng)
        if parameters.mean_mbps is not None:
            rates *= parameters.mean_mbps / model.mean_mbps()
        trace = steps_trace(self.name, start_ns, rates, duration_ns)
        return (
            with_bursts(trace, parameters.burst_packets, rng) if parameters.opportunities else trace
        )
