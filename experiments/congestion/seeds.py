"""Means over training seeds with intervals. Few values, so Student's t rather than a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval, None from fewer than two values."""

    mean: float
    ci95: tuple[float, float] | None

    def text(self, scale: float = 1.0, digits: int = 1, sign: str = "") -> str:
        """`mean [low, high]`, times `scale`."""
        text = f"{scale * self.mean:{sign}.{digits}f}"
        if self.ci95 is not None:
            low, high = (scale * end for end in self.ci95)
            text += f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
        return text


def mean_ci95(values: Sequence[float]) -> Estimate:
    """Mean of normally distributed values of unknown variance (Student's t)."""
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Estimate(mean, None)
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Estimate(mean, (mean - half, mean + half))


def difference_ci95(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of `first - second` over pairs of the same seed."""
    return mean_ci95([a - b for a, b in zip(first, second, strict=True)])
