"""The bandwidth estimate of a flow, by hand."""

from __future__ import annotations

import math

import numpy as np

from policy.tasks.congestion.estimates import bandwidth
from policy.tasks.congestion.fields import ESTIMATE, MEMORY


def estimate() -> np.record:
    return np.zeros(1, ESTIMATE).view(np.recarray)[0]


def after(
    e: np.record, rate: float, *, sample: float = math.nan, steady: bool = True, queue: bool = False
) -> float:
    return bandwidth(e, rate, sample, steady, queue)


def test_the_maximum_is_remembered_for_so_many_windows() -> None:
    e = estimate()
    assert after(e, 9e6) == 9e6
    estimates = [after(e, 4e6) for _ in range(MEMORY)]
    assert estimates[:-1] == [9e6] * (MEMORY - 1)
    assert estimates[-1] == 4e6


def test_while_a_queue_stands_the_newest_two_count() -> None:
    e = estimate()
    after(e, 9e6)
    assert [after(e, rate, queue=True) for rate in (4e6, 3e6, 2e6)] == [9e6, 4e6, 3e6]


def test_the_newest_sample_leads_unless_a_queue_stands() -> None:
    e = estimate()
    assert after(e, 2e6, sample=4e6) == 4e6
    assert after(e, 2e6, sample=8e6, queue=True) == 4e6


def test_without_usable_rates_the_estimate_stays() -> None:
    e = estimate()
    after(e, 5e6)
    assert {after(e, 0.0, steady=False) for _ in range(3 * MEMORY)} == {5e6}
