"""Statistics of rate series, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from traces import Opportunities, Steps, Trace, TraceError
from traces.statistics import autocorrelation, binned, describe, rates_bps

S = 1_000_000_000


def test_rates_per_window() -> None:
    trace = Trace("t", 3 * S, Steps(np.array([0, 3 * S // 2]), np.array([8e6, 0.0])))
    assert rates_bps(trace, S).tolist() == [8e6, 4e6, 0]


def test_the_last_opportunity_belongs_to_the_last_window() -> None:
    trace = Trace(
        "t",
        2 * S,
        opportunities=Opportunities(np.array([0, S, 2 * S]), np.array([1000, 2000, 4000])),
    )
    assert rates_bps(trace, S).tolist() == [8e3, 48e3]
    # 0.75 s make two whole windows; what comes after them is left out.
    assert rates_bps(trace, 3 * S // 4).tolist() == [8e3 / 0.75, 16e3 / 0.75]


def test_binned_keeps_the_bytes_and_the_delay_at_the_start() -> None:
    steps = Steps(
        np.array([0, S // 2]), np.array([8e6, 4e6]), np.array([10, 20]), np.array([0.0, 0.5])
    )
    result = binned(Trace("t", 2 * S, steps), S)
    assert result.steps is not None
    assert result.steps.capacity_bps.tolist() == [6e6, 4e6]
    assert result.steps.delay_ns is not None
    assert result.steps.loss is not None
    assert result.steps.delay_ns.tolist() == [10, 20]
    assert result.steps.loss.tolist() == [0, 0.5]
    opportunities = Trace(
        "t", S, opportunities=Opportunities(np.array([1, 2]), np.array([1000, 250]))
    )
    assert binned(opportunities, S).mean_bps() == 10_000


def test_window_must_fit() -> None:
    trace = Trace("t", S, Steps(np.array([0]), np.array([8e6])))
    for window_ns in (2 * S, 1):
        with pytest.raises(TraceError, match="choose a window"):
            rates_bps(trace, window_ns)


def test_autocorrelation_of_an_alternating_series() -> None:
    series = np.array([1.0, -1.0] * 10)
    assert autocorrelation([series], 1) == pytest.approx(-1)
    assert autocorrelation([series], 2) == pytest.approx(1)
    # Pooled around the common mean: two constant recordings of different level are fully
    # correlated.
    assert autocorrelation([np.ones(5), np.zeros(5)], 3) == pytest.approx(1)
    assert math.isnan(autocorrelation([np.ones(5)], 1))
    assert math.isnan(autocorrelation([series], 50))


def test_outages_do_not_join_across_series() -> None:
    found = describe(
        [np.array([10.0, 0, 0, 10, 0]), np.array([0.0, 10, 10, 10, 10])], S // 2, lags_s=(0.5, 0.7)
    )
    assert (found.windows, found.mean_bps) == (10, 6)
    assert (found.outages, found.outage_share) == (3, 0.4)
    assert (found.outage_mean_s, found.outage_max_s) == (pytest.approx(2 / 3), 1.0)
    assert list(found.autocorrelation) == [0.5]  # 0.7 s is no multiple of the window
    assert found.percentiles_bps[50] == 10
