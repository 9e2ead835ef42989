"""The cluster, against schedules worked out by hand, and what holds for every sequence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment, run_many
from policy.tasks.cjs.job import Job, Level, Stage
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.durations import draw_level
from policy.tasks.cjs.simulator.jit import entry
from policy.tasks.cjs.simulator.layout import (
    BUSY,
    COMMITTED,
    ENDED,
    MOVING,
    POOL,
    REMAINING,
    RUNNING,
    SIZE,
    SUPPLY,
    Settings,
    new_cluster,
)
from policy.tasks.cjs.sources.synthetic import generate_jobs

# The first test of all compiles the simulator.
pytestmark = pytest.mark.timeout(900)

JOBS = generate_jobs(5, queries=4)
CATALOGUE = build_catalogue(JOBS)


draw_one_level = entry(draw_level.py_func)


def array(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def stage(*parents: int, tasks: int, fresh: int, first: int, rest: int) -> Stage:
    return Stage(parents, tasks, (Level(5, array(fresh), array(first), array(rest)),))


def one_kind(job: Job, *arrival_ms: int, executors: int) -> ClusterEnvironment:
    arrivals = Arrivals("by hand", array(*arrival_ms), np.zeros(len(arrival_ms), np.int64))
    return ClusterEnvironment(build_catalogue([job]), arrivals, Settings(executors=executors))


def test_moves_waves_and_a_dependency_by_hand():
    job = Job(
        1,
        1,
        (
            stage(tasks=4, fresh=50, first=30, rest=10),
            stage(0, tasks=1, fresh=50, first=30, rest=10),
        ),
    )
    environment = one_kind(job, 0, executors=1)
    # A move, a fresh task, three of the rest; the executor falls idle before the second stage.
    assert environment.run(RULES["fifo"]).tolist() == [2_000 + 50 + 3 * 10 + 50]


def test_two_jobs_one_executor_by_hand():
    job = Job(1, 1, (stage(tasks=2, fresh=50, first=30, rest=10),))
    environment = one_kind(job, 0, 5, executors=1)
    first = 2_000 + 50 + 10
    # The executor moves on when the first job ends; the second job arrived 5 ms after the first.
    assert environment.run(RULES["fifo"]).tolist() == [first, first - 5 + 2_000 + 50 + 10]


def test_reward_is_minus_the_time_of_jobs():
    environment = ClusterEnvironment(CATALOGUE, poisson(1, range(len(JOBS)), 20), seed=3)
    seen, done, total = environment.reset(), False, 0.0
    while not done:
        row, column = np.argwhere(seen.candidates)[0]
        reward, done = environment.step(int(seen.stage_number[row, column]), 5)
        seen = environment.observe()
        total += reward
    assert total == pytest.approx(-environment.completion_ms().sum() / 1e3)


def test_a_stage_that_is_no_candidate_is_refused_and_changes_nothing():
    environment = ClusterEnvironment(CATALOGUE, poisson(1, range(len(JOBS)), 5))
    environment.reset()
    before = [part.copy() for part in environment.cluster]
    for stage_number, executors in ((10**6, 1), (-2, 1), (0, 0)):
        with pytest.raises(PolicyError, match="give a candidate"):
            environment.step(stage_number, executors)
    assert all(np.array_equal(a, b) for a, b in zip(before, environment.cluster, strict=True))


def test_passing_for_ever_is_said_and_does_not_hang():
    environment = ClusterEnvironment(CATALOGUE, Arrivals("one", array(0), array(0)))
    environment.reset()
    with pytest.raises(PolicyError, match="1 jobs wait and nothing runs"):
        environment.step(-1, 0)


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_finishes_every_job_and_again_in_the_same_way(name: str):
    arrivals = [poisson(seed, range(len(JOBS)), 30) for seed in range(2)]
    twice = [
        run_many([ClusterEnvironment(CATALOGUE, one, seed=9) for one in arrivals], RULES[name], 2)
        for _ in range(2)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*twice, strict=True))
    assert all((times > 2_000).all() for times in twice[0])


@settings(max_examples=15)
@given(st.integers(0, 1_000), st.integers(1, 30), st.data())
def test_executors_and_tasks_are_conserved_whatever_is_decided(seed: int, executors: int, data):
    arrivals = poisson(seed, range(len(JOBS)), 4, mean_gap_ms=3_000)
    environment = ClusterEnvironment(CATALOGUE, arrivals, Settings(executors=executors), seed)
    seen, done = environment.reset(), False
    cluster = environment.cluster
    tasks = cluster.stage[:, REMAINING].sum()
    for _ in range(40):
        if done:
            break
        choices = np.argwhere(seen.candidates)
        row, column = choices[data.draw(st.integers(0, len(choices) - 1))]
        _, done = environment.step(
            int(seen.stage_number[row, column]), data.draw(st.integers(1, executors))
        )
        seen = environment.observe()
        assert cluster.stage[:, [REMAINING, RUNNING, ENDED]].sum() == tasks
        assert cluster.pool[:, SIZE].sum() + (cluster.executor[:, POOL] == -1).sum() == executors
        assert cluster.stage[:, RUNNING].sum() == cluster.executor[:, BUSY].sum()
        assert (cluster.stage[:, [REMAINING, MOVING, COMMITTED]] >= 0).all()
        assert (cluster.job[:, SUPPLY] >= 0).all()


@pytest.mark.parametrize(("compat", "upper"), [(0, 0.25), (1, 0.75)])
def test_between_two_levels_the_nearer_is_likelier_and_in_compat_the_other(
    compat: int, upper: float
):
    levels = tuple(Level(n, array(n), array(n), array(n)) for n in (2, 5, 10, 20, 40))
    catalogue = build_catalogue([Job(1, 1, (Stage((), 1, levels),))])
    arrivals = Arrivals("one", array(0), array(0))
    cluster = new_cluster(catalogue, arrivals, Settings(compat=compat), 0)
    chances = (np.arange(1_000) + 0.5) / 1_000

    def drawn(local: int) -> list[int]:
        return [int(cluster.flat[draw_one_level(cluster, 0, local, chance)]) for chance in chances]

    assert set(drawn(3)) == {5}
    assert set(drawn(10)) == {10}
    assert set(drawn(45)) == {40}
    assert np.mean(np.array(drawn(25)) == 40) == pytest.approx(upper, abs=0.06)
    assert set(drawn(25)) == {20, 40}
