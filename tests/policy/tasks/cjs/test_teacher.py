"""The rollout teacher: what it may know, and that what it plays is what happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import ARRIVAL, ARRIVED, JOB_TIME, NEVER
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.teacher import Rollouts, Teacher, teach

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

JOBS = generate_jobs(5, queries=4)
CATALOGUE = build_catalogue(JOBS)
SPARE = poisson(77, range(len(JOBS)), 32, 5_000)
TEACHER = Teacher(horizon_ms=20_000, futures=2)


def environment(seed: int = 1, jobs: int = 12) -> ClusterEnvironment:
    arrivals = poisson(seed, range(len(JOBS)), jobs, 5_000)
    return ClusterEnvironment(CATALOGUE, arrivals, seed=seed, spare=SPARE)


def test_rollouts_leave_the_cluster_alone_and_give_the_same_costs_again():
    here = environment()
    here.reset()
    rollouts = Rollouts(TEACHER, here.cluster)
    done, compared = False, 0
    while not done:
        before = [part.copy() for part in here.cluster]
        actions, costs_s = (part.copy() for part in rollouts.costs_s(here.cluster))
        again = rollouts.costs_s(here.cluster)
        assert np.array_equal(actions, again[0])
        assert np.array_equal(costs_s, again[1])
        assert all(np.array_equal(a, b) for a, b in zip(before, here.cluster, strict=True))
        compared += len(actions) > 1
        _, done = here.step(*(int(value) for value in actions[0]))
    assert compared > 5


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_rollout_leaves_nothing_to_the_next(seed: int, known: bool):
    teacher = replace(TEACHER, known=known, futures=1)
    here = environment(seed)
    here.reset()
    used, done = Rollouts(teacher, here.cluster), False
    while not done:
        actions, costs_s = (part.copy() for part in used.costs_s(here.cluster))
        fresh = Rollouts(teacher, here.cluster).costs_s(here.cluster)
        assert np.array_equal(actions, fresh[0])
        assert np.array_equal(costs_s, fresh[1])
        _, done = here.step(*(int(value) for value in actions[np.argmin(costs_s)]))


def test_the_teacher_does_not_know_the_future():
    here, other = environment(), environment()
    for one in (here, other):
        one.reset()
    # Other jobs to come, at other times; nothing that has happened differs.
    rows = other.cluster.job[other.cluster.scalar[ARRIVED] : 12]
    rows[:, ARRIVAL] += 3_000
    costs = [Rollouts(TEACHER, one.cluster).costs_s(one.cluster)[1] for one in (here, other)]
    assert np.array_equal(*costs)
    known = replace(TEACHER, known=True)
    costs = [Rollouts(known, one.cluster).costs_s(one.cluster)[1] for one in (here, other)]
    assert not np.array_equal(*costs)


def test_with_a_known_future_the_cost_of_the_bases_action_is_what_it_comes_to():
    here = environment()
    here.reset()
    teacher = Teacher(known=True, horizon_ms=10**9)
    _, costs_s = Rollouts(teacher, here.cluster).costs_s(here.cluster)
    rule = TEACHER.base
    ENTRIES.run(here.cluster, rule.number, rule.array(), NEVER)
    assert costs_s[0] == pytest.approx(here.cluster.scalar[JOB_TIME] / 1e3)


def test_the_oracle_is_better_than_its_base_rule():
    mean_s = [environment(seed).run(TEACHER.base).mean() for seed in range(3)]
    oracle_s = [
        teach(environment(seed), Teacher(known=True, horizon_ms=10**9)).mean() for seed in range(3)
    ]
    assert np.mean(oracle_s) < np.mean(mean_s)


def test_without_spare_jobs_nobody_arrives_in_a_rollout():
    arrivals = Arrivals("one", np.array([0]), np.array([0]))
    alone = ClusterEnvironment(CATALOGUE, arrivals)
    assert teach(alone, TEACHER).shape == (1,)
