"""Fairness between flows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def jain(rates: Sequence[float]) -> float | None:
    """Jain's index (sum x)^2 / (n sum x^2) (Jain, Chiu, Hawe 1984): 1 equal shares, 1/n one flow has all.

    None of fewer than two flows, or when nobody got anything.
    """
    x = np.asarray(rates, dtype=np.float64)
    squares = float(np.sum(x**2))
    return float(np.sum(x)) ** 2 / (len(x) * squares) if len(x) >= 2 and squares > 0 else None
