"""A Wi-Fi link: rate adaptation walks over the MCS ladder while neighbours take a share of the air.

The ladder is that of IEEE 802.11n, one stream, 20 MHz, 800 ns guard interval (clause 19.5, MCS 0 to
7). The other numbers are plausible, not fitted: the project has no Wi-Fi recording to fit them to.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from traces.generators.base import (
    Parameters,
    Seconds,
    Share,
    dwell_starts,
    regular_starts,
    steps_trace,
)
from traces.model import Trace

MCS_MBPS = np.array([6.5, 13.0, 19.5, 26.0, 39.0, 52.0, 58.5, 65.0])
STEP_NS = 100_000_000


class WifiParameters(Parameters):
    streams: Annotated[int, Field(ge=1, le=4)] = 1
    efficiency: Annotated[float, Field(gt=0, le=1)] = 0.65  # of the air time that carries payload
    mcs_change: Share = 0.08  # chance per 100 ms that rate adaptation moves one step
    busy_share: Share = 0.5  # of the air taken by neighbours while they are active
    quiet_mean_s: Seconds = 6.0
    busy_mean_s: Seconds = 2.0
    stall: Share = 0.01  # chance per 100 ms that interference stops everything


class Wifi:
    name = "wifi"
    description = "802.11n rate adaptation with contention and short stalls (not fitted)"

    def generate(
        self, parameters: WifiParameters, duration_ns: int, rng: np.random.Generator
    ) -> Trace:
        start_ns = regular_starts(duration_ns, STEP_NS)
        count, top = len(start_ns), len(MCS_MBPS) - 1
        moves = np.where(
            rng.random(count) < parameters.mcs_change, np.where(rng.random(count) < 0.5, 1, -1), 0
        )
        walk = np.cumsum(moves) + rng.integers(0, top + 1)
        mcs = top - np.abs(
            np.mod(walk, 2 * top) - top
        )  # a walk reflected at both ends of the ladder
        change_ns, busy = dwell_starts(
            duration_ns, (parameters.quiet_mean_s, parameters.busy_mean_s), rng
        )
        active = busy[np.searchsorted(change_ns, start_ns, side="right") - 1]
        # Neighbours' share varies from one 100 ms to the next: Beta with the asked mean.
        taken = _beta(parameters.busy_share, count, rng) * active
        rates = MCS_MBPS[mcs] * parameters.streams * parameters.efficiency * (1 - taken)
        rates[rng.random(count) < parameters.stall] = 0.0
        return steps_trace(self.name, start_ns, rates, duration_ns)


def _beta(
    mean: float, count: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if mean in (0.0, 1.0):
        return np.full(count, mean)
    return rng.beta(8 * mean, 8 * (1 - mean), count)
