"""Bounds: by hand, and below what any rule reaches."""

from __future__ import annotations

import numpy as np
import pytest

from policy.tasks.cjs.bounds import lower_bound_ms, shortest_remaining_first
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import Job, Level, Stage
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.synthetic import generate_jobs

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)


def test_the_shortest_remaining_job_interrupts():
    # The second job, of 1 s, interrupts the first after 2 of its 5 s; the third waits for both.
    times = shortest_remaining_first(np.array([0.0, 2.0, 3.0]), np.array([5.0, 1.0, 4.0]))
    assert times.tolist() == [6.0, 1.0, 7.0]


def test_a_chain_alone_takes_its_path():
    level = Level(5, np.array([70]), np.array([50]), np.array([20]))
    job = Job(1, 1, (Stage((), 4, (level,)), Stage((0,), 1, (level,))))
    arrivals = Arrivals("one", np.array([0]), np.array([0]))
    environment = ClusterEnvironment(build_catalogue([job]), arrivals, Settings(executors=2))
    # Four tasks of at least 20 ms on two executors, then one.
    assert lower_bound_ms(environment) == 2_000 + 40 + 20


@pytest.mark.parametrize("seed", range(4))
def test_no_rule_beats_the_bound(seed: int):
    jobs = generate_jobs(5, queries=4)
    arrivals = poisson(seed, range(len(jobs)), 40, mean_gap_ms=8_000 + 10_000 * seed)
    catalogue = build_catalogue(jobs)
    bound = lower_bound_ms(ClusterEnvironment(catalogue, arrivals, seed=seed))
    for name in ("fair", "cap", "sjf", "graphene"):
        times = ClusterEnvironment(catalogue, arrivals, seed=seed).run(RULES[name])
        assert 0 < bound <= times.mean()
