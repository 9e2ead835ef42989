"""Medians and differences with bootstrap confidence intervals, for runs, comparisons and leagues.

Observations may come in clusters: cells of one source trace are not independent. The cluster
bootstrap draws whole clusters with replacement (Davison and Hinkley 1997, section 3.8; Cameron,
Gelbach and Miller 2008); where each value is a cluster of its own it is the percentile bootstrap
(Efron 1979). Seeded, so that a report rebuilds identically.

From few values an interval promises too much: from three cells it covers 75 %, not 95 %. So there
is none from fewer than five cells, or six clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

RESAMPLES = 5_000
MIN_CELLS = 5
MIN_CLUSTERS = 6
_SEED = 20_251_211
_CHUNK_CELLS = 4_000_000  # of weights held at a time

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]


@lru_cache(maxsize=64)
def _draws(clusters: int) -> npt.NDArray[np.int32]:
    """How often each cluster is in each resample: int32[RESAMPLES, clusters]; rows sum to
    `clusters`.
    """
    random = np.random.Generator(np.random.PCG64(_SEED))
    return random.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(
        np.int32
    )


def weighted_medians(values: Floats, weights: npt.NDArray[np.int32]) -> Floats:
    """Median of the values for each row of weights (how often each occurs); as `numpy.median` of
    the repeated values.

    values: float64[n], may hold infinities; weights: int32[r, n], each row with a positive sum.
    Returns float64[r].
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    below = np.cumsum(weights[:, order], axis=1, dtype=np.int32)
    total = below[:, -1:]
    lower = np.argmax(2 * below >= total, axis=1)
    upper = np.argmax(2 * below > total, axis=1)
    medians: Floats = np.where(
        lower == upper, ordered[lower], (ordered[lower] + ordered[upper]) / 2
    )
    return medians


def median_ci95(
    values: Sequence[float], clusters: Sequence[str] | None = None
) -> tuple[float, Interval | None]:
    """The median and its 95 % percentile interval from resampled clusters.

    clusters: one per value; None: each value is a cluster of its own. NaNs are left out; infinities
    count. No interval from fewer than MIN_CLUSTERS clusters, or MIN_CELLS values without clusters.
    Raises ValueError if the lengths differ.
    """
    least = MIN_CELLS if clusters is None else MIN_CLUSTERS
    clusters = [str(number) for number in range(len(values))] if clusters is None else clusters
    if len(values) != len(clusters):
        raise ValueError(
            f"every value needs a cluster: {len(values)} values, {len(clusters)} clusters"
        )
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    array = array[known]
    if not len(array):
        return float("nan"), None
    median = float(weighted_medians(array, np.ones((1, len(array)), np.int32))[0])
    names, cluster = np.unique(
        np.asarray(clusters, dtype=object)[known].astype(str), return_inverse=True
    )
    if len(names) < least:
        return median, None
    draws = _draws(len(names))
    rows = max(1, _CHUNK_CELLS // len(array))
    medians = np.concatenate(
        [
            weighted_medians(array, draws[start : start + rows][:, cluster])
            for start in range(0, RESAMPLES, rows)
        ]
    )
    # Order statistics: interpolating between a finite and an infinite median would give neither.
    low, high = np.percentile(medians, [2.5, 97.5], method="inverted_cdf")
    return median, (float(low), float(high))


def paired_difference_ci95(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[str] | None = None
) -> tuple[float, Interval | None]:
    """Median of ``first - second`` over pairs (cells of the same trace, seed and repeat), and its
    interval.

    Raises ValueError if the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs are needed: {len(first)} values against {len(second)}")
    return median_ci95([a - b for a, b in zip(first, second, strict=True)], clusters)
