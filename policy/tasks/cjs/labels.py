"""Near-optimal labels: what the teacher's roll-outs say of the actions in the states that it, or a
wandering copy of it, comes to.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policy.tasks.base import Arrays
from policy.tasks.cjs.actions import label_of, place_of
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import inputs_at, stacked
from policy.tasks.cjs.returns import fair_job_time_ms, job_time_ms, return_to_go
from policy.tasks.cjs.simulator.layout import NOW
from policy.tasks.cjs.teacher import Rollouts, Teacher
from policy.tasks.cjs.workload import Workload

Actor = Callable[[Arrays], tuple[int, int]]
"""Stage and executors for a sample of `inputs_at`."""


@dataclass(frozen=True)
class Collection:
    """How many sequences of how many jobs; in a share of decisions a random one of the proposed
    actions is taken, so that states off the teacher's own course are seen.

    actor: a checkpoint that decides in the teacher's place, so that the teacher labels the states
    that this model gets into (Ross, Gordon and Bagnell, AISTATS 2011). seconds: no sequence is
    begun later than that.
    """

    sequences: int = 64
    jobs: int = 60
    explore: float = 0.2
    processes: int = 2
    seed: int = 0
    actor: Path | None = None
    seconds: float = math.inf


class _Collector:
    """Labels one sequence, in a process of its own: Python's part of an episode holds the
    interpreter's lock.
    """

    def __init__(self, loads: Sequence[Workload], teacher: Teacher, how: Collection) -> None:
        self._loads, self._teacher, self._how = loads, teacher, how
        self._act = actor(how.actor) if how.actor is not None else None
        self._until = time.monotonic() + how.seconds

    def one(self, number: int) -> Arrays | None:
        if time.monotonic() > self._until:
            return None
        load = self._loads[number % len(self._loads)]
        random = np.random.default_rng([self._how.seed, load.first_seed, number])
        environment = load.environment(number, self._how.jobs)
        return _episode(environment, self._teacher, self._how.explore, random, self._act)


_collector: _Collector | None = None


def _begin(*args: Any) -> None:
    global _collector
    _collector = _Collector(*args)


def _one(number: int) -> Arrays | None:
    assert _collector is not None
    return _collector.one(number)


def collect(loads: Sequence[Workload], teacher: Teacher, how: Collection) -> Arrays:
    """Samples [N, ...] of all sequences, which take the workloads in turn, with their labels and
    the number of their `sequence`.
    """
    numbers = range(how.sequences)
    if how.processes == 1:
        found = list(map(_Collector(loads, teacher, how).one, numbers))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(how.processes, how.sequences), context, _begin, (loads, teacher, how)
        ) as pool:
            found = list(pool.map(_one, numbers))
    parts = [part for part in found if part is not None]
    sequence = np.repeat(np.arange(len(parts)), [len(part["action"]) for part in parts])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined | {"sequence": sequence}


def _episode(
    environment: ClusterEnvironment,
    teacher: Teacher,
    explore: float,
    random: np.random.Generator,
    act: Actor | None,
) -> Arrays:
    samples: list[Arrays] = []
    begun_ms, fair_ms = [], []
    environment.reset()
    done = False
    rollouts = Rollouts(teacher, environment.cluster)
    while not done:
        actions, costs_s = rollouts.costs_s(environment.cluster)
        inputs = inputs_at(environment)
        label = label_of(inputs["stage_number"], actions, costs_s)
        wander = random.random() < explore
        if act is not None and len(actions) > 1 and not wander:
            stage, executors = act(inputs)
        else:
            taken = random.integers(len(actions)) if wander else int(np.argmin(costs_s))
            stage, executors = actions[taken].tolist()
        if label is not None:
            stage_number = inputs.pop("stage_number")
            for name in ("stages", "jobs", "cluster"):
                inputs[name] = inputs[name].astype(np.float16)
            for name in ("present", "exists", "proposed"):
                inputs[name] = inputs[name].astype(np.uint8)
            place = place_of(stage_number, stage, executors)
            samples.append(inputs | label | {"taken": np.array(place, np.int32)})
            begun_ms.append(int(environment.cluster.scalar[NOW]))
            fair_ms.append(fair_job_time_ms(environment.cluster))
        _, done = environment.step(stage, executors)
    own_ms = [job_time_ms(environment.cluster, at_ms) for at_ms in begun_ms]
    returns = np.array(list(map(return_to_go, own_ms, fair_ms)), np.float32)
    return stacked(samples) | {"return_to_go": returns}


def actor(folder: Path) -> Actor:
    """The likeliest action of a checkpoint."""
    import torch

    from policy.model import checkpoint
    from policy.tasks.cjs.tensors import player

    torch.set_num_threads(1)
    model, info = checkpoint.load(folder)
    scheduler = player(model, target_return=info.target_return)

    def act(inputs: Arrays) -> tuple[int, int]:
        action = scheduler.decide(stacked([inputs]))
        return int(action["stage"][0]), int(action["executors"][0])

    return act
