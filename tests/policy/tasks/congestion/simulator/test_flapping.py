"""A policy on a route that flaps between 20 and 200 ms."""

from __future__ import annotations

import numpy as np

from policy.api import PolicyContext
from policy.tasks.congestion.policies.persistence import Persistence
from policy.tasks.congestion.simulator import Links, PolicyController, simulate

CAPACITY_BPS, STEPS, FROM_MS = 8e6, 10_000, 2000


class Unhelped(Persistence):
    """Gets no room for the longer route."""

    yields = False


def test_a_detour_that_is_known_carries_as_much_as_the_short_way() -> None:
    step = np.arange(STEPS)
    flaps = np.where((step >= FROM_MS) & (step // 500 % 2 == 0), 200, 20)
    links = Links(
        np.full((STEPS, 1), CAPACITY_BPS), flaps[:, None], np.full(1, 4 * CAPACITY_BPS * 0.02 / 8)
    )
    used = {}
    for kind in (Persistence, Unhelped):
        driver = PolicyController(kind(PolicyContext(1)), 1)
        used[kind] = simulate(links, driver, skip_ms=2 * FROM_MS).utilisation[0]
    assert used[Persistence] > 0.85
    assert used[Unhelped] < used[Persistence] - 0.1
