"""The link that the kernel's module uses does what the relay's program does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from testbed.links.base import Direction, Loss, Queue
from traces.forms import Opportunities, Steps
from traces.model import Trace

if TYPE_CHECKING:
    from conftest import Simulation

MS = 1_000_000
STEPS = Trace("s", 300 * MS, Steps(np.array([0, 90 * MS]), np.array([8e6, 3e6])))
CHANCES = Trace(
    "o", 60 * MS, opportunities=Opportunities(np.array([5 * MS, 30 * MS]), np.array([9000, 4500]))
)
QUEUES = ("droptail", "codel", "fq_codel", "pie", "dualpi2")


@pytest.mark.parametrize("kind", QUEUES)
def test_the_same_records(simulation: Simulation, link_simulation: Simulation, kind: str) -> None:
    rng = np.random.default_rng(3)
    at_ns = np.cumsum(rng.integers(1, 2 * MS, 900))
    sizes = rng.integers(60, 1500, len(at_ns))
    packets = [
        (int(at), int(size), int(rng.integers(0, 3)), 5000 + int(rng.integers(0, 4)))
        for at, size in zip(at_ns, sizes, strict=True)
    ]
    for capacity in (STEPS, CHANCES, None):
        direction = Direction(
            capacity=capacity,
            queue=Queue(kind=kind, limit_bytes=40_000, ecn=True),  # type: ignore[arg-type]
            delay_ns=10 * MS,
            jitter_ns=MS,
            loss=Loss(0.02, 0.3, 0.0, 0.5),
            wifi_ns=7 * MS,
            duplicate=0.01,
            seed=7,
        )
        for tried in (direction, replace(direction, wifi_ns=0, loss=None)):
            expected = simulation.run(tried, packets, zero_ns=50 * MS)
            assert len(expected) >= len(packets)
            assert link_simulation.run(tried, packets, zero_ns=50 * MS) == expected
