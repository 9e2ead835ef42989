"""How long a decision takes, drawn from what was measured: in virtual time computing takes none."""

from collections.abc import Mapping, Sequence

import numpy as np

Quantiles = Sequence[int]
"""Of a duration in nanoseconds, evenly spaced from the least to the most; one: a constant."""
Latency = Quantiles | Mapping[int, Quantiles]
"""Of a tier: quantiles, or quantiles by the number of flows that are decided together."""


def quantiles_of(latency: Latency | None, flows: int) -> Quantiles:
    """The quantiles for a batch of so many flows: those of the next larger batch that was measured,
    else of the largest. Without a latency, zero.
    """
    if not latency:
        return (0,)
    if not isinstance(latency, Mapping):
        return latency
    return latency[min((size for size in latency if size >= flows), default=max(latency))]


def draw_ns(latency: Latency | None, flows: int, slot: int, window: int) -> int:
    """A latency drawn from a distribution.

    Args:
        flows: How many are decided together.
        slot, window: Whose answer it is. The draw depends on them alone, so that a repeated run has
            the same latencies.
    """
    quantiles_ns = quantiles_of(latency, flows)
    share = np.random.Generator(np.random.PCG64([slot, window])).random()
    places = np.linspace(0.0, 1.0, len(quantiles_ns))
    return round(float(np.interp(share, places, quantiles_ns)))
