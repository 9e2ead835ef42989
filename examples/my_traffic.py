"""Traffic of one's own: bursts of a fixed length at a fixed period, from a random phase.

    sudo tbtest run --flow examples/my_traffic.py:Bursts --set flow_options.on_ms=200 --rate 20mbit

The flow is greedy while `is_on` says so. Naming the file runs it, with your rights.
"""

import random

from pydantic import Field

from tbtest import FlowOptions

NS_PER_MS = 1_000_000


class BurstOptions(FlowOptions):
    """Keys of `flow_options`; values outside of the bounds are refused."""

    on_ms: int = Field(100, ge=1, le=10_000, description="length of a burst")
    period_ms: int = Field(500, ge=2, le=60_000, description="from one burst to the next")


class Bursts:
    """Sends for on_ms of every period_ms."""

    options_model = BurstOptions

    def __init__(self, options: BurstOptions, seed: int) -> None:
        self._on_ns = options.on_ms * NS_PER_MS
        self._period_ns = options.period_ms * NS_PER_MS
        self._phase_ns = random.Random(seed).randrange(self._period_ns)

    def is_on(self, elapsed_ns: int) -> bool:
        """Whether the flow sends at this time since its start."""
        return (elapsed_ns + self._phase_ns) % self._period_ns < self._on_ns
