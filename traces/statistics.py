"""What a trace is like: mean, variation, autocorrelation and outages of its rate per window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from traces.errors import TraceError
from traces.forms import NS_PER_S, Float64s, Steps
from traces.model import Trace

OUTAGE_SHARE = 0.01  # a window below this share of the mean rate counts as an outage
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_MAX_WINDOWS = 20_000_000


def rates_bps(trace: Trace, window_ns: int) -> Float64s:
    """Mean rate of each whole window of the described span: float64[n]. Raises TraceError if there
    is none.
    """
    windows = trace.duration_ns // window_ns
    if not 1 <= windows <= _MAX_WINDOWS:
        raise TraceError(
            f"trace {trace.name}: {trace.duration_ns / 1e9:g} s in windows of {window_ns / 1e9:g} "
            f"s make {windows}; "
            f"choose a window that makes 1 to {_MAX_WINDOWS:,}"
        )
    if trace.opportunities is not None:
        index = trace.opportunities.at_ns // window_ns
        # What lies at the very end (Mahimahi's last line) is part of the period that it closes.
        index[trace.opportunities.at_ns == windows * window_ns] -= 1
        inside = index < windows
        carried = np.bincount(
            index[inside], trace.opportunities.size_bytes[inside], minlength=windows
        )
        return carried * 8 * NS_PER_S / window_ns
    edges = np.arange(windows + 1, dtype=np.int64) * window_ns
    return np.diff(trace.capacity_bytes(0, edges)) * 8 * NS_PER_S / window_ns


def binned(trace: Trace, window_ns: int) -> Trace:
    """The trace as steps of `window_ns`: loses what happens within a window, and a last part of
    one. Raises TraceError.

    Delay and loss of a window are those at its start.
    """
    rates = rates_bps(trace, window_ns)
    start_ns = np.arange(len(rates), dtype=np.int64) * window_ns
    period_ns = None if trace.period_ns is None else len(rates) * window_ns
    if trace.steps is None:
        return Trace(trace.name, period_ns, Steps(start_ns, rates))
    index = np.searchsorted(trace.steps.start_ns, start_ns, side="right") - 1
    delay_ns = None if trace.steps.delay_ns is None else trace.steps.delay_ns[index]
    loss = None if trace.steps.loss is None else trace.steps.loss[index]
    return Trace(trace.name, period_ns, Steps(start_ns, rates, delay_ns, loss))


def autocorrelation(series: Sequence[Float64s], lag: int) -> float:
    """Autocorrelation at `lag` samples, pooled over series of the same process around their common
    mean.

    NaN where no series is longer than the lag or nothing varies.
    """
    pooled = np.concatenate(series)
    mean, variance = pooled.mean(), pooled.var()
    pairs = [(one[:-lag] - mean) * (one[lag:] - mean) for one in series if len(one) > lag]
    if not pairs or variance == 0:
        return float("nan")
    return float(np.concatenate(pairs).mean() / variance)


@dataclass(frozen=True)
class RateStatistics:
    """Statistics of one or more rate series with the same window; rates in bit/s, times in seconds.

    An outage is a stretch of windows below 1 % of the mean. Autocorrelation is by lag in seconds,
    of the lags that are multiples of the window.
    """

    window_s: float
    windows: int
    mean_bps: float
    std_bps: float
    percentiles_bps: Mapping[int, float]
    autocorrelation: Mapping[float, float]
    outage_share: float
    outages: int
    outage_mean_s: float
    outage_max_s: float


def describe(
    series: Sequence[Float64s], window_ns: int, lags_s: Sequence[float] = (1, 2, 5, 10, 30, 60)
) -> RateStatistics:
    """The statistics of rate series (float64[n] in bit/s each) of windows of `window_ns`."""
    pooled = np.concatenate(series)
    mean_bps = float(pooled.mean())
    lengths = np.concatenate([_stretches(one < mean_bps * OUTAGE_SHARE) for one in series])
    window_s = window_ns / NS_PER_S
    lags = {
        lag: round(lag / window_s)
        for lag in lags_s
        if abs(lag / window_s - round(lag / window_s)) < 1e-9
    }
    return RateStatistics(
        window_s=window_s,
        windows=len(pooled),
        mean_bps=mean_bps,
        std_bps=float(pooled.std()),
        percentiles_bps={p: float(np.percentile(pooled, p)) for p in PERCENTILES},
        autocorrelation={
            lag: autocorrelation(series, count) for lag, count in lags.items() if count > 0
        },
        outage_share=float(lengths.sum() / len(pooled)),
        outages=len(lengths),
        outage_mean_s=float(lengths.mean() * window_s) if len(lengths) else 0.0,
        outage_max_s=float(lengths.max() * window_s) if len(lengths) else 0.0,
    )


def _stretches(
    flags: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Lengths of the stretches of true values."""
    changes = np.diff(np.concatenate(([0], flags.astype(np.int64), [0])))
    return np.flatnonzero(changes == -1) - np.flatnonzero(changes == 1)
