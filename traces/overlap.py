"""Whether two traces hold the same recording: equal windows of samples, or rates that run alike.

Traces that overlap must not stand on both sides of a split into training and test sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.forms import NS_PER_S, Float64s
from traces.model import Trace
from traces.statistics import rates_bps

WINDOW_SAMPLES = 8
CORRELATED_S = 200
LEAST_CORRELATION = 0.95
# Windows with fewer different values, outages and constant rates, are alike by chance.
_LEAST_DISTINCT = 4
# Of the first trace's windows of 200 s, each that begins at a multiple of this is compared.
_STRIDE_S = 10


@dataclass(frozen=True)
class Overlap:
    """What two traces share: windows of 8 equal samples, and the greatest correlation over 200 s.

    `correlation` is NaN where one of the traces is shorter than 200 s or never varies.
    """

    equal_windows: int
    correlation: float

    @property
    def found(self) -> bool:
        """Whether the traces are to be kept on one side of a split."""
        return self.equal_windows > 0 or self.correlation >= LEAST_CORRELATION


def overlap(one: Trace, other: Trace) -> Overlap:
    """Compares the samples of two traces, and their rates per second at every shift."""
    return Overlap(
        len(_windows(one) & _windows(other)), _correlation(_seconds(one), _seconds(other))
    )


def _windows(trace: Trace) -> set[tuple[float, ...]]:
    """The windows of 8 consecutive rates; delivery opportunities have none."""
    if trace.steps is None or len(trace.steps.capacity_bps) < WINDOW_SAMPLES:
        return set()
    rates = np.rint(trace.steps.capacity_bps)
    rows = np.lib.stride_tricks.sliding_window_view(rates, WINDOW_SAMPLES).tolist()
    return {tuple(row) for row in rows if len(set(row)) >= _LEAST_DISTINCT}


def _seconds(trace: Trace) -> Float64s:
    """Mean rate of each second: float64[n]; none of a trace below a second."""
    return rates_bps(trace, NS_PER_S) if trace.duration_ns >= NS_PER_S else np.empty(0)


def _correlation(one: Float64s, other: Float64s) -> float:
    """The greatest Pearson correlation of 200 s of each, at any shift; NaN if there is none."""
    if min(len(one), len(other)) < CORRELATED_S:
        return float("nan")
    mine, theirs = _standardised(one)[::_STRIDE_S], _standardised(other)
    products = mine @ theirs.T / CORRELATED_S
    return float("nan") if np.isnan(products).all() else float(np.nanmax(products))


def _standardised(rates: Float64s) -> Float64s:
    """Windows of 200 s, mean 0, standard deviation 1: float64[n, 200]; NaN where constant."""
    windows = np.lib.stride_tricks.sliding_window_view(rates, CORRELATED_S)
    deviation = windows.std(axis=1, keepdims=True)
    deviation = np.where(deviation > 0, deviation, np.nan)
    return np.asarray((windows - windows.mean(axis=1, keepdims=True)) / deviation)
