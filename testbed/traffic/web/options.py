"""Options of web traffic, and the transfers that they mean. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from testbed.traffic.base import Options
from testbed.units import NS_PER_S


class WebOptions(Options):
    """How often somebody asks, and for how much."""

    arrivals_per_s: float = Field(10.0, gt=0, le=500, description="mean rate of new transfers")
    min_bytes: int = Field(4_000, ge=1, le=10**9, description="smallest transfer")
    max_bytes: int = Field(10_000_000, ge=1, le=10**9, description="largest transfer")
    sizes: Literal["pareto", "uniform"] = Field(
        "pareto", description="distribution of the sizes between their bounds"
    )
    shape: float = Field(1.2, gt=0, le=10, description="pareto: of the tail; small is heavy")
    closed: bool = Field(
        False,
        description="one transfer at a time: gaps run from the last byte",
    )
    begin: Literal["idle", "sending"] = Field(
        "idle", description="sending: the first transfer arrives at the flow's start"
    )

    @model_validator(mode="after")
    def _ordered(self) -> WebOptions:
        if self.min_bytes > self.max_bytes:
            raise ValueError("min_bytes is more than max_bytes")
        return self

    @property
    def mean_bytes(self) -> float:
        """Mean of the sizes, before they are rounded."""
        low, high, a = float(self.min_bytes), float(self.max_bytes), self.shape
        if low == high or self.sizes == "uniform":
            return (low + high) / 2
        whole = 1 - math.pow(low / high, a)
        if a == 1:
            return low / whole * math.log(high / low)
        return a * low / (whole * (a - 1)) * (1 - math.pow(low / high, a - 1))


@dataclass(frozen=True)
class Transfer:
    """One transfer: its size, and how long after the one before it arrived (open) or was complete
    (closed) it arrives.
    """

    gap_ns: int
    size_bytes: int


def transfers(options: WebOptions, seed: int) -> Iterator[Transfer]:
    """Transfers without end: exponential gaps, sizes between the bounds by inverting the cumulative
    distribution. Both are drawn from ``seed``.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    low, high = options.min_bytes, options.max_bytes
    whole = 1 - (low / high) ** options.shape
    first = options.begin == "sending"
    while True:
        gap_s = random.exponential(1 / options.arrivals_per_s)
        share = random.random()
        if options.sizes == "uniform":
            size = low + round(share * (high - low))
        else:
            size = round(low * (1 - share * whole) ** (-1 / options.shape))
        yield Transfer(0 if first else int(gap_s * NS_PER_S), min(size, high))
        first = False
