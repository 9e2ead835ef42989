"""The controllers that know the trace: what comes, and what was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from experiments.congestion.frontier import MIN_RATE_BPS, Clairvoyant, Informed, constant_links
from policy.tasks.congestion.simulator import Links, simulate
from policy.tasks.congestion.simulator.loop import STEP_NS, Feedback

NONE = np.zeros(1)


def asked(controller: Clairvoyant | Informed, step: int, queue_bytes: float = 0.0) -> float:
    controller.on_feedback(
        Feedback(step * STEP_NS, NONE, NONE, NONE, NONE, np.array([queue_bytes]))
    )
    return float(controller.pacing_rate_bps[0])


def test_it_asks_for_what_the_coming_time_will_carry_less_what_is_queued() -> None:
    """8 Mbit/s for 100 ms, then 4: 1000 and 500 bytes a millisecond."""
    capacity = np.repeat([8e6, 4e6], 100)[:, None]
    controller = Clairvoyant(Links(capacity, np.array([20]), np.array([1e6])), 1.0, 100)
    assert asked(controller, 0) == 8e6
    assert asked(controller, 50) == 6e6
    assert asked(controller, 100, queue_bytes=25_000) == 2e6
    assert asked(controller, 100, queue_bytes=60_000) == MIN_RATE_BPS
    assert asked(controller, 190) == 4e6  # the trace ends sooner


def test_the_past_is_known_an_rtt_late() -> None:
    """8 Mbit/s for 200 ms, then 4; the mean of 100 ms, 20 ms late."""
    capacity = np.repeat([8e6, 4e6], 200)[:, None]
    controller = Informed(Links(capacity, np.array([20]), np.array([1e6])), 1.5)
    assert asked(controller, 10) == MIN_RATE_BPS  # nothing is back yet
    assert asked(controller, 220) == 12e6
    assert asked(controller, 270) == 9e6  # half of either
    assert asked(controller, 320) == 6e6


@pytest.mark.parametrize(
    "make", [lambda links: Clairvoyant(links, 1.0, 100), lambda links: Informed(links, 1.0)]
)
def test_on_a_constant_link_a_greedy_flow_fills_it_without_a_queue(
    make: Callable[[Links], Clairvoyant | Informed],
) -> None:
    links = constant_links(60, seconds=5)
    outcome = simulate(links, make(links), skip_ms=1000)
    assert (outcome.utilisation > 0.95).all()
    assert (outcome.queueing_p95_ms < 10).all()
