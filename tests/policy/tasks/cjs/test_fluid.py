"""Transfers over one link, against schedules worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import Job, Level, Stage
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.merge import merged
from policy.tasks.cjs.sources.synthetic import generate_jobs

pytestmark = pytest.mark.timeout(900)

TWO_BYTES_A_MS = 16_000.0
AT_ONCE = Settings(executors=2, moving_ms=0, warmup_ms=0)


def stage(*parents: int, tasks: int, task_ms: int, input_bytes: int) -> Stage:
    times = np.array([task_ms], np.int64)
    return Stage(parents, tasks, (Level(5, times, times, times),), input_bytes)


def one(*stages: Stage, settings: Settings = AT_ONCE) -> ClusterEnvironment:
    arrivals = Arrivals("by hand", np.array([0]), np.array([0]))
    return ClusterEnvironment(build_catalogue([Job(1, 1, stages)]), arrivals, settings)


def test_two_tasks_share_the_link():
    # 1,000 ms; 2 x 4,000 bytes at 2 bytes/ms; 500 ms. The first stage has no parent to ask.
    cluster = one(
        stage(tasks=1, task_ms=1_000, input_bytes=9_999),
        stage(0, tasks=2, task_ms=500, input_bytes=4_000),
    )
    assert cluster.run(RULES["fair"], TWO_BYTES_A_MS).tolist() == [5_500]


def test_the_longer_transfer_gets_all_when_the_other_ends():
    # From 1,000 ms on 1 byte/ms each; at 2,000 ms the small one ends and 3,000 bytes are left.
    cluster = one(
        stage(tasks=1, task_ms=1_000, input_bytes=0),
        stage(0, tasks=1, task_ms=500, input_bytes=4_000),
        stage(0, tasks=1, task_ms=100, input_bytes=1_000),
    )
    assert cluster.run(RULES["fair"], TWO_BYTES_A_MS).tolist() == [4_000]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_the_link_is_never_idle_while_something_is_to_be_sent(sizes: list[int]):
    begin = stage(tasks=1, task_ms=1_000, input_bytes=0)
    fetching = [stage(0, tasks=1, task_ms=1, input_bytes=size) for size in sizes]
    at_once = AT_ONCE._replace(executors=len(sizes))
    taken_ms = one(begin, *fetching, settings=at_once).run(RULES["fair"], TWO_BYTES_A_MS)[0]
    assert taken_ms == pytest.approx(1_000 + sum(sizes) / 2 + 1, abs=1)


@pytest.mark.parametrize("rule", ["fair", "cap", "fifo"])
def test_without_inputs_it_is_the_simulator(rule: str):
    jobs = [
        replace(job, stages=tuple(replace(s, shuffle_bytes_per_task=0) for s in job.stages))
        for job in (merged(job, 4) for job in generate_jobs(3, queries=3))
    ]
    arrivals = poisson(2, range(len(jobs)), 5, 15_000)
    first, second = (
        ClusterEnvironment(build_catalogue(jobs), arrivals, Settings(executors=6), 2)
        for _ in range(2)
    )
    assert (first.run(RULES[rule], 8_000.0) == second.run(RULES[rule])).all()


def test_a_link_of_no_capacity_is_refused():
    with pytest.raises(PolicyError, match="above 0"):
        one(stage(tasks=1, task_ms=1, input_bytes=0)).run(RULES["fair"], 0.0)
