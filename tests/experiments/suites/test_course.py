"""Queue and loss before and after a cell's first quarter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.suites.course import Arrivals, course_of


def test_packets_are_split_at_the_first_quarter() -> None:
    found = course_of(
        Arrivals(
            at=np.array([0.0, 0.1, 0.2, 0.249, 0.25, 0.9, 0.99]),
            waited_ms=np.array([10.0, 20.0, 30.0, math.nan, 1.0, 3.0, math.nan]),
            lost=np.array([False, False, False, True, False, False, False]),
        )
    )
    assert found.queue_p95_ms == pytest.approx((29.0, 2.9))
    assert found.lost == (0.25, 0.0)
    assert str(found) == "29 / 3 ms | 25.0 / 0.0 %"


def test_no_packets_have_no_figures() -> None:
    nothing = np.empty(0)
    found = course_of(Arrivals(nothing, nothing, np.empty(0, dtype=bool)))
    assert all(math.isnan(value) for value in (*found.queue_p95_ms, *found.lost))
