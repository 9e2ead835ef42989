"""The experiment on routes: when what happens, and what is measured of it."""

from __future__ import annotations

import numpy as np

from experiments.congestion.routes import CAPACITY_BPS, END_MS, FROM_MS, TO_MS, courses, used
from policy.tasks.congestion.simulator import Outcome


def test_a_route_is_another_one_only_in_between() -> None:
    for name, rtt_ms in courses().items():
        outside = np.concatenate((rtt_ms[:FROM_MS], rtt_ms[TO_MS:]))
        assert set(outside) == {60 if name == "60 to 120 ms" else 20}
        assert rtt_ms[FROM_MS:TO_MS].max() > outside.max()


def test_used_is_of_what_the_link_offered() -> None:
    none = np.zeros(1)
    delivered = np.zeros((END_MS, 1))
    delivered[FROM_MS:TO_MS] = CAPACITY_BPS / 8e3 / 4
    outcome = Outcome(none, none, none, none, none, delivered, none, none)
    assert used(outcome, FROM_MS, TO_MS) == [0.25]
    assert used(outcome, TO_MS, END_MS) == [0.0]
