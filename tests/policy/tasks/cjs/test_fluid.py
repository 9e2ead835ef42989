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
from policy.tasks.cjs.job import FloatArray, Job, Level, Stage
from policy.tasks.cjs.network import NO_NETWORK, Network, one_link, star, two_racks
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import Arrivals, poisson
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.merge import merged
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.teacher import Teacher, teach

pytestmark = pytest.mark.timeout(900)

TWO_BYTES_A_MS = 16_000.0
LINK = one_link(TWO_BYTES_A_MS)
AT_ONCE = Settings(executors=2, moving_ms=0, warmup_ms=0)


def stage(*parents: int, tasks: int, task_ms: int, input_bytes: int) -> Stage:
    times = np.array([task_ms], np.int64)
    return Stage(parents, tasks, (Level(5, times, times, times),), input_bytes)


def one(
    *stages: Stage, settings: Settings = AT_ONCE, network: Network = LINK
) -> ClusterEnvironment:
    arrivals = Arrivals("by hand", np.array([0]), np.array([0]))
    catalogue = build_catalogue([Job(1, 1, stages)])
    return ClusterEnvironment(catalogue, arrivals, settings, network=network)


def test_two_tasks_share_the_link() -> None:
    # 1,000 ms; 2 x 4,000 bytes at 2 bytes/ms; 500 ms. The first stage has no parent to ask.
    cluster = one(
        stage(tasks=1, task_ms=1_000, input_bytes=9_999),
        stage(0, tasks=2, task_ms=500, input_bytes=4_000),
    )
    assert cluster.run(RULES["fair"]).tolist() == [5_500]


def test_the_longer_transfer_gets_all_when_the_other_ends() -> None:
    # From 1,000 ms on 1 byte/ms each; at 2,000 ms the small one ends and 3,000 bytes are left.
    cluster = one(
        stage(tasks=1, task_ms=1_000, input_bytes=0),
        stage(0, tasks=1, task_ms=500, input_bytes=4_000),
        stage(0, tasks=1, task_ms=100, input_bytes=1_000),
    )
    assert cluster.run(RULES["fair"]).tolist() == [4_000]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_the_link_is_never_idle_while_something_is_to_be_sent(sizes: list[int]) -> None:
    begin = stage(tasks=1, task_ms=1_000, input_bytes=0)
    fetching = [stage(0, tasks=1, task_ms=1, input_bytes=size) for size in sizes]
    at_once = AT_ONCE._replace(executors=len(sizes))
    taken_ms = one(begin, *fetching, settings=at_once).run(RULES["fair"])[0]
    assert taken_ms == pytest.approx(1_000 + sum(sizes) / 2 + 1, abs=1)


@pytest.mark.parametrize("rule", ["fair", "cap", "fifo"])
def test_without_inputs_it_is_the_simulator(rule: str) -> None:
    jobs = [
        replace(job, stages=tuple(replace(s, shuffle_bytes_per_task=0) for s in job.stages))
        for job in (merged(job, 4) for job in generate_jobs(3, queries=3))
    ]
    arrivals = poisson(2, range(len(jobs)), 5, 15_000)
    first, second = (
        ClusterEnvironment(
            build_catalogue(jobs), arrivals, Settings(executors=6), 2, network=network
        )
        for network in (star(3, 8_000.0), NO_NETWORK)
    )
    assert (first.run(RULES[rule]) == second.run(RULES[rule])).all()


def test_a_link_of_no_capacity_is_refused() -> None:
    with pytest.raises(PolicyError, match="above 0"):
        one_link(0.0)


# Executors 0 and 1 are workers of their own: 0 receives over a link, 1 is at the hub.
@pytest.mark.parametrize(
    ("network", "end_ms"),
    [
        # Both tasks of the first stage end at 1,000 ms, one at each worker. Each of the second
        # finds half of its input where it is. At the hub the other half takes no time; the receiver
        # fetches 2,000 bytes at 2 bytes/ms.
        (star(1, TWO_BYTES_A_MS), 2_500),
        (two_racks(1, TWO_BYTES_A_MS), 2_500),
        # All of it on one link: 2 x 4,000 bytes.
        (LINK, 5_500),
        (NO_NETWORK, 1_500),
    ],
)
def test_what_lies_on_a_worker_is_not_fetched(network: Network, end_ms: int) -> None:
    cluster = one(
        stage(tasks=2, task_ms=1_000, input_bytes=0),
        stage(0, tasks=2, task_ms=500, input_bytes=4_000),
        network=network,
    )
    assert cluster.run(RULES["fair"]).tolist() == [end_ms]


def test_what_is_seen_of_a_task_holds_what_inputs_took_lately() -> None:
    cluster = one(
        stage(tasks=1, task_ms=1_000, input_bytes=0),
        stage(0, tasks=1, task_ms=500, input_bytes=4_000),
        stage(1, tasks=1, task_ms=500, input_bytes=6_000),
    )
    means_s = []
    seen, done = cluster.reset(), False
    while not done:
        means_s.append(np.expm1(seen.stages[0, 2, 3]))
        number = int(seen.stage_number[seen.candidates > 0][0])
        _, done = cluster.step(number, 1)
        seen = cluster.observe()
    assert means_s[0] == pytest.approx(0.5, rel=1e-5)
    # 4,000 bytes took 2,000 ms.
    assert means_s[-1] == pytest.approx(3.5, rel=1e-5)


@pytest.mark.parametrize("network", [star(4, 400e6), two_racks(4, 400e6), one_link(400e6)])
def test_roll_outs_that_know_all_play_what_comes(network: Network) -> None:
    # With the horizon beyond the end, a known future and one rule that proposes and goes on, the
    # cost of every decision is the time that the jobs take from there.
    kinds = [merged(job, 8) for job in generate_jobs(5, queries=4)]
    arrivals = poisson(4, range(len(kinds)), 4, 20_000)
    cluster = ClusterEnvironment(
        build_catalogue(kinds), arrivals, Settings(executors=16), 4, network=network
    )
    teacher = Teacher(
        base=RULES["fair"], proposing=(RULES["sjf"],), known=True, horizon_ms=10**9, futures=1
    )
    costs_s: list[FloatArray] = []
    total_s = teach(cluster, teacher, lambda actions, costs: costs_s.append(costs.copy())).sum()
    several = [costs.min() for costs in costs_s if len(costs) > 1]
    assert several
    assert total_s / 1e3 <= several[0] + 1e-6
