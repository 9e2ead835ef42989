"""A policy on a path that holds ACKs back and delivers those of 50 ms together."""

from __future__ import annotations

import numpy as np

from policy.api import PolicyContext
from policy.tasks.congestion.policies.persistence import Persistence
from policy.tasks.congestion.simulator import Links, Outcome, PolicyController, simulate

CAPACITY_BPS, STEPS = 8e6, 3000


class Unhelped(Persistence):
    """Gets no room for what is acknowledged together."""

    yields = False


def driven(kind: type[Persistence]) -> Outcome:
    """A path that holds ACKs back, and one with the same minimum RTT that does not."""
    held = 20 + np.arange(STEPS) % 50
    links = Links(
        np.full((STEPS, 2), CAPACITY_BPS),
        np.stack((held, np.full(STEPS, 20)), axis=1),
        np.full(2, 80_000.0),
    )
    return simulate(links, PolicyController(kind(PolicyContext(2)), 2), skip_ms=1500)


def test_cwnd_has_room_for_acks_that_are_held_back_and_for_no_others() -> None:
    helped, unhelped = driven(Persistence), driven(Unhelped)
    assert unhelped.utilisation[0] < 0.85
    assert helped.utilisation[0] > 0.95
    np.testing.assert_array_equal(helped.queueing_ms[:, 1], unhelped.queueing_ms[:, 1])
