"""Bootstrap intervals: their properties, and a case counted out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import median_ci95, paired_difference_ci95

values = st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=12)
few = settings(max_examples=25, deadline=None)


@few
@given(values)
def test_the_interval_holds_the_median_and_stays_within_the_data(sample: list[float]) -> None:
    median, interval = median_ci95(sample)
    assert interval is not None
    assert median == np.median(sample)
    assert min(sample) <= interval[0] <= median <= interval[1] <= max(sample)
    assert median_ci95(sample) == (median, interval)  # seeded: a report rebuilds identically


@few
@given(values, st.floats(0.5, 100), st.floats(-100, 100))
def test_units_do_not_matter(sample: list[float], factor: float, offset: float) -> None:
    median, interval = median_ci95(sample)
    moved_median, moved = median_ci95([factor * value + offset for value in sample])
    assert interval is not None
    assert moved is not None
    close = {"rel": 1e-9, "abs": 1e-3}
    assert moved_median == pytest.approx(factor * median + offset, **close)
    assert moved == pytest.approx(tuple(factor * bound + offset for bound in interval), **close)


@given(st.floats(-1e6, 1e6), st.integers(5, 10))
def test_equal_values_have_no_width(value: float, count: int) -> None:
    assert median_ci95([value] * count) == (value, (value, value))


def test_fewer_than_five_values_have_no_interval() -> None:
    assert median_ci95([1.0, 3.0]) == (2.0, None)
    assert median_ci95([1.0, 2.0, 3.0, 4.0]) == (2.5, None)
    assert median_ci95([1.0, math.nan, 3.0, math.inf, math.nan]) == (3.0, None)
    median, interval = median_ci95([])
    assert math.isnan(median)
    assert interval is None


def test_five_values_counted_out() -> None:
    """The median of five draws from {0, ..., 4} is 0 if three of them are: with a probability of
    181/3125, more than 2.5 %. So the interval is the whole range.
    """
    assert median_ci95([0.0, 1.0, 2.0, 3.0, 4.0]) == (2.0, (0.0, 4.0))


def test_coverage_of_a_known_median() -> None:
    """Of 200 samples of 15 from a normal distribution about 95 % of the intervals hold its
    median.
    """
    random = np.random.Generator(np.random.PCG64(7))
    held = 0
    for _ in range(200):
        interval = median_ci95(list(random.normal(10, 2, 15)))[1]
        assert interval is not None
        held += interval[0] <= 10 <= interval[1]
    assert 0.88 <= held / 200 <= 0.99


def test_pairs_remove_what_they_share() -> None:
    base = [1.0, 50.0, 9.0, 200.0, 3.0]
    difference, interval = paired_difference_ci95([value + 2 for value in base], base)
    assert difference == pytest.approx(2)
    assert interval == pytest.approx((2, 2))
    with pytest.raises(ValueError, match="5 values against 3"):
        paired_difference_ci95(base, base[:3])
