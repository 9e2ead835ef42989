"""Fairness between flows of one cell."""

from __future__ import annotations

from collections.abc import Sequence


def jain_index(rates: Sequence[float]) -> float | None:
    """(sum x)^2 / (n sum x^2), 1 if all are equal, 1/n if one has all (Jain, Chiu and Hawe
    1984).
    """
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares > 0 else None
