"""The bandwidth estimate's memory."""

import numpy as np

from policy.bandwidth import BandwidthEstimate
from policy.fields import MEMORY

S = np.array([0])


def update(
    e: BandwidthEstimate, rate: float, *, sample: float = np.nan, steady: bool = True, queue: bool = False
) -> float:
    return float(
        e.update(
            S,
            delivery_rate_bps=np.array([rate]),
            sample_bps=np.array([sample]),
            steady=np.array([steady]),
            standing_queue=np.array([queue]),
        )[0]
    )


def test_the_maximum_is_remembered_for_so_many_windows() -> None:
    e = BandwidthEstimate(1)
    assert update(e, 9e6) == 9e6
    estimates = [update(e, 4e6) for _ in range(MEMORY)]
    assert estimates[:-1] == [9e6] * (MEMORY - 1)
    assert estimates[-1] == 4e6


def test_while_a_queue_stands_the_newest_two_count() -> None:
    e = BandwidthEstimate(1)
    update(e, 9e6)
    assert [update(e, 4e6, queue=True), update(e, 3e6, queue=True), update(e, 2e6, queue=True)] == [
        9e6,
        4e6,
        3e6,
    ]


def test_the_newest_sample_leads_unless_a_queue_stands() -> None:
    e = BandwidthEstimate(1)
    assert update(e, 2e6, sample=4e6) == 4e6
    assert update(e, 2e6, sample=8e6, queue=True) == 4e6


def test_without_usable_rates_it_stays() -> None:
    e = BandwidthEstimate(1)
    update(e, 5e6)
    assert {update(e, 0.0, steady=False) for _ in range(3 * MEMORY)} == {5e6}


def test_a_new_flow_begins_at_nothing() -> None:
    e = BandwidthEstimate(1)
    update(e, 5e6)
    e.forget(S)
    assert e.bps[0] == 0
    assert update(e, 1e6) == 1e6
