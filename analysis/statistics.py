"""Medians and differences with bootstrap confidence intervals; seeded, so that a report rebuilds
identically.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_SEED = 20_251_211


def _medians(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Medians of RESAMPLES samples drawn with replacement."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    chosen = random.integers(0, len(values), size=(RESAMPLES, len(values)))
    return np.median(values[chosen], axis=1)


def median_ci95(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """The median and its 95 % percentile-bootstrap interval (Efron 1979); no interval from fewer
    than three values.
    """
    known = np.asarray([value for value in values if np.isfinite(value)], dtype=np.float64)
    if len(known) == 0:
        return float("nan"), None
    median = float(np.median(known))
    if len(known) < 3:
        return median, None
    low, high = np.percentile(_medians(known), [2.5, 97.5])
    return median, (float(low), float(high))


def paired_difference_ci95(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """Median of ``first - second`` over pairs (cells of the same trace, seed and repeat), and its
    interval.

    Raises ValueError if the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs are needed: {len(first)} values against {len(second)}")
    return median_ci95([a - b for a, b in zip(first, second, strict=True)])
