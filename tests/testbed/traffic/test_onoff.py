"""On/off switching."""

from __future__ import annotations

from itertools import accumulate, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.onoff import OnOffOptions, is_on, periods_ns
from testbed.units import NS_PER_S


@given(
    st.lists(st.integers(1, 1000), min_size=2, max_size=30),
    st.lists(st.integers(0, 10_000), max_size=50),
)
def test_on_in_every_other_period(lengths: list[int], asked: list[int]) -> None:
    ends = list(accumulate(lengths))
    ask = is_on(iter([*lengths, 10**9]))
    for at in sorted(asked):
        period = sum(end <= at for end in ends)
        assert ask(at) is (period % 2 == 0)


def test_means_and_seeds() -> None:
    options = OnOffOptions(mean_on_s=2.0, mean_off_s=0.5)
    lengths = list(islice(periods_ns(options, 3), 20_000))
    assert lengths == list(islice(periods_ns(options, 3), 20_000))
    assert lengths != list(islice(periods_ns(options, 4), 20_000))
    assert sum(lengths[::2]) / 10_000 == pytest.approx(2.0 * NS_PER_S, rel=0.05)
    assert sum(lengths[1::2]) / 10_000 == pytest.approx(0.5 * NS_PER_S, rel=0.05)
    # Exponential: the standard deviation is the mean.
    mean = sum(lengths[::2]) / 10_000
    deviation = (sum((value - mean) ** 2 for value in lengths[::2]) / 10_000) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)
