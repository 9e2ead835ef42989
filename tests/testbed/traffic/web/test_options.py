"""Arrivals and sizes of web transfers."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UserError
from testbed.traffic import kind
from testbed.traffic.base import parse_options
from testbed.traffic.web.options import WebOptions, transfers


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0.2, 5), st.integers(0, 2**31))
def test_sizes_stay_within_their_bounds_and_arrivals_in_order(
    low: int, more: int, shape: float, seed: int
) -> None:
    options = WebOptions(min_bytes=low, max_bytes=low + more, shape=shape)
    drawn = list(islice(transfers(options, seed), 50))
    assert all(low <= transfer.size_bytes <= low + more for transfer in drawn)
    assert all(transfer.gap_ns >= 0 for transfer in drawn)
    assert drawn == list(islice(transfers(options, seed), 50))


@pytest.mark.parametrize(
    "sizes", [{"shape": 0.8}, {"shape": 1.0}, {"shape": 2.5}, {"sizes": "uniform"}]
)
def test_rate_and_mean_are_those_asked_for(sizes: dict[str, Any]) -> None:
    options = WebOptions(arrivals_per_s=50, min_bytes=1000, max_bytes=100_000, **sizes)
    drawn = list(islice(transfers(options, 7), 100_000))
    assert sum(transfer.gap_ns for transfer in drawn) / 1e9 == pytest.approx(2000, rel=0.02)
    mean = np.mean([transfer.size_bytes for transfer in drawn])
    assert mean == pytest.approx(options.mean_bytes, rel=0.03)


def test_who_begins_sending_does_so_at_once() -> None:
    first, second = islice(transfers(WebOptions(begin="sending"), 1), 2)
    assert first.gap_ns == 0 < second.gap_ns


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(UserError, match="min_bytes is more than max_bytes"):
        parse_options(kind("web"), {"min_bytes": 10, "max_bytes": 5})
