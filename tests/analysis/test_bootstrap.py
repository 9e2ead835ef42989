"""Cluster bootstrap of medians, against numpy and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import median_ci95, weighted_medians


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 4)), min_size=1, max_size=12).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_weighted_median_is_that_of_the_repeated_values(pairs):
    values = np.array([value for value, _ in pairs])
    weights = np.array([[weight for _, weight in pairs]], np.int32)
    expected = np.median(np.repeat(values, weights[0]))
    assert weighted_medians(values, weights)[0] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_infinities_have_their_place():
    assert (
        weighted_medians(np.array([1.0, math.inf, math.inf]), np.ones((1, 3), np.int32))[0]
        == math.inf
    )
    assert weighted_medians(np.array([1.0, 2.0, math.inf]), np.ones((1, 3), np.int32))[0] == 2.0


def test_cells_that_are_clusters_of_their_own_give_the_ordinary_bootstrap():
    values = np.random.default_rng(3).normal(10, 2, 60).tolist()
    median, interval = median_ci95(values, [str(index) for index in range(60)])
    expected, ordinary = median_ci95(values)
    assert median == pytest.approx(expected)
    assert interval == pytest.approx(ordinary, abs=0.15)


def test_repeating_the_cells_of_a_trace_adds_no_certainty():
    values, traces = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], list("abcdef")
    once = median_ci95(values, traces)
    often = median_ci95(values * 20, traces * 20)
    assert once == often
    _, naive = median_ci95(values * 20)
    assert often[1] is not None
    assert naive is not None
    assert often[1][1] - often[1][0] > naive[1] - naive[0]


def test_five_traces_give_no_interval_and_nan_counts_for_nothing():
    assert median_ci95([1.0, 2, 3, 4, 5] * 2, list("abcde") * 2) == (3.0, None)
    assert median_ci95([1.0, 2.0, 9.0], ["a", "a", "b"]) == (2.0, None)
    assert median_ci95([1.0, math.nan, 3.0], ["a", "b", "c"]) == (2.0, None)
    median, interval = median_ci95([math.nan], ["a"])
    assert math.isnan(median)
    assert interval is None


def test_six_equal_traces_leave_no_doubt():
    assert median_ci95([7.0] * 6, list("abcdef")) == (7.0, (7.0, 7.0))


def test_every_value_needs_a_cluster():
    with pytest.raises(ValueError, match="2 values, 1 clusters"):
        median_ci95([1.0, 2.0], ["a"])
