"""Latencies drawn from what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.latency import draw_ns, quantiles_of


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20).map(sorted),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_a_draw_lies_in_its_distribution_and_repeats(
    quantiles_ns: list[int], slot: int, window: int
) -> None:
    drawn_ns = draw_ns(quantiles_ns, 1, slot, window)
    assert quantiles_ns[0] <= drawn_ns <= quantiles_ns[-1]
    assert draw_ns(quantiles_ns, 1, slot, window) == drawn_ns


def test_draws_follow_the_distribution() -> None:
    drawn = [draw_ns([0, 10, 1000], 1, 0, window) for window in range(2000)]
    assert np.mean(np.array(drawn) <= 10) == pytest.approx(0.5, abs=0.05)


def test_larger_batches_have_their_own() -> None:
    measured = {1: (10,), 4: (20,), 16: (90,)}
    sizes = [1, 2, 4, 5, 16, 99]
    assert [quantiles_of(measured, size)[0] for size in sizes] == [10, 20, 20, 90, 90, 90]
    assert draw_ns(measured, 3, 0, 0) == 20


def test_what_was_not_measured_takes_no_time() -> None:
    assert draw_ns(None, 1, 0, 0) == 0
