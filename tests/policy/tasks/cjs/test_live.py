"""A live cluster does what the simulated one does, and loses no job with its slots."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import build_catalogue
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.live import Launch, LiveCluster
from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.sequences import poisson
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.merge import merged
from policy.tasks.cjs.sources.synthetic import generate_jobs

SLOTS, JOBS = 6, 5
KINDS = [merged(job, 4) for job in generate_jobs(3, queries=3)]
CATALOGUE = build_catalogue(KINDS)


def cluster(seed: int) -> ClusterEnvironment:
    arrivals = poisson(seed, range(len(KINDS)), JOBS, 15_000)
    return ClusterEnvironment(CATALOGUE, arrivals, Settings(executors=SLOTS), seed)


class Driver:
    """Runs a live cluster by a rule, on a clock that jumps; `loss`: slots that are lost, and
    when.
    """

    def __init__(self, seed: int, rule: str, losses: Sequence[tuple[int, int]] = ()) -> None:
        self.live, self.rule = LiveCluster(cluster(seed)), RULES[rule]
        self.ends: list[tuple[float, int, Launch]] = []
        self.running: dict[int, Launch] = {}
        self.losses = sorted(losses)
        self.lost: list[Launch] = []
        self.ended: list[Launch] = []
        self.launched = 0

    def run(self) -> IntArray:
        now = 0.0
        self._settle(now)
        while not self.live.finished:
            times = [self.live.next_ms(), *(end for end, _, _ in self.ends[:1])]
            times += [at for at, _ in self.losses[:1]]
            known = [at for at in times if at is not None]
            assert known, "nothing runs, and jobs are left"
            now = max(now, min(known))
            while self.losses and self.losses[0][0] <= now:
                slot = self.losses.pop(0)[1]
                lost = self.live.lose(slot)
                assert (lost is None) == (self.running.pop(slot, None) is None)
                self.lost += [lost] if lost else []
            while self.ends and self.ends[0][0] <= now:
                launch = heapq.heappop(self.ends)[2]
                if self.running.get(launch.slot) is launch:
                    del self.running[launch.slot]
                    self.ended.append(launch)
                    self.live.ended(launch.slot, now)
            self._settle(now)
        times_ms = [self.live.times_ms(job) for job in range(JOBS)]
        return np.array([(done or 0) - arrival for arrival, done in times_ms])

    def _settle(self, now: float) -> None:
        while self.live.advance(now):
            action = ENTRIES.choose(self.live.cluster, self.rule.number, self.rule.array())
            self.live.decide(*action, now)
        for launch in self.live.launches():
            assert launch.slot not in self.running
            self.launched += 1
            self.running[launch.slot] = launch
            end = launch.start_ms + launch.compute_ms
            heapq.heappush(self.ends, (end, self.launched, launch))


@given(st.integers(0, 1000), st.sampled_from(sorted(set(RULES) - {"random"})))
@settings(max_examples=15)
def test_it_does_what_the_simulator_does(seed: int, rule: str) -> None:
    assert Driver(seed, rule).run().tolist() == cluster(seed).run(RULES[rule]).tolist()


@given(
    st.integers(0, 1000),
    st.sampled_from(["fair", "cap", "sjf"]),
    st.lists(st.tuples(st.integers(0, 120_000), st.integers(0, SLOTS - 1)), max_size=SLOTS - 1,
             unique_by=lambda loss: loss[1]),
)  # fmt: skip
@settings(max_examples=30)
# Those who are left are on their way to a stage whose parents only the lost would have run.
@example(0, "sjf", [(0, 0), (0, 1), (0, 2)])
def test_lost_slots_lose_no_task(seed: int, rule: str, losses: list[tuple[int, int]]) -> None:
    driver = Driver(seed, rule, losses)
    driver.run()
    tasks = sum(stage.tasks for kind in _kinds(seed) for stage in KINDS[kind].stages)
    assert len({(one.job, one.stage, one.task) for one in driver.ended}) == tasks
    assert len(driver.ended) == tasks
    assert driver.launched == tasks + len(driver.lost)


def _kinds(seed: int) -> list[int]:
    kinds: list[int] = poisson(seed, range(len(KINDS)), JOBS, 15_000).kind.tolist()
    return kinds


def test_the_time_of_a_decision_delays_what_it_starts() -> None:
    live = LiveCluster(cluster(1))
    now = 0.0
    while live.advance(now):
        now += 40.0  # what the decision takes
        live.decide(*ENTRIES.choose(live.cluster, RULES["fair"].number, np.zeros(1)), now)
    assert not live.launches()  # the executors are on their way
    assert live.next_ms() == int(now) + Settings().moving_ms


def test_a_stage_that_may_not_be_chosen_is_refused() -> None:
    live = LiveCluster(cluster(1))
    assert live.advance(0.0)
    with pytest.raises(PolicyError, match="stage 9999"):
        live.decide(9_999, 1, 0.0)


def test_merged_jobs_keep_work_and_bytes() -> None:
    for job in generate_jobs(5, queries=2):
        few = merged(job, 3)
        for stage, own in zip(job.stages, few.stages, strict=True):
            assert own.tasks == min(stage.tasks, 3)
            work = stage.tasks * stage.mean_ms()
            assert own.tasks * own.mean_ms() == pytest.approx(work, rel=0.01)
            bytes_ = stage.tasks * stage.shuffle_bytes_per_task
            assert own.tasks * own.shuffle_bytes_per_task == pytest.approx(bytes_, abs=own.tasks)
