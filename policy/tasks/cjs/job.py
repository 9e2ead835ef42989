"""A job as it is scheduled: a directed acyclic graph of stages, each of equal tasks with measured
times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MAX_STAGES = 1_000
MAX_TASKS = 100_000
MAX_TASK_MS = 86_400_000


@dataclass(frozen=True)
class Level:
    """Task times of a stage, in ms, when so many executors work on its job.

    fresh: first task of an executor that was idle or comes from another job. first: first task in
    this stage of an executor that stays in the job. rest: later tasks in the stage.
    """

    executors: int
    fresh_ms: IntArray
    first_ms: IntArray
    rest_ms: IntArray

    def all_ms(self) -> IntArray:
        """The times of all three kinds, in one array."""
        return np.concatenate([self.fresh_ms, self.first_ms, self.rest_ms])


@dataclass(frozen=True)
class Stage:
    """Equal tasks that may run once the parent stages have finished. Levels rise by executors."""

    parents: tuple[int, ...]
    tasks: int
    levels: tuple[Level, ...]
    shuffle_bytes_per_task: int = 0

    def mean_ms(self) -> float:
        """Mean of all measured task times."""
        return float(np.concatenate([level.all_ms() for level in self.levels]).mean())


@dataclass(frozen=True)
class Job:
    """A kind of job: a query on a data set of ``size_gb``.

    Raises PolicyError, with the job and the stage, for stages that are malformed or wait for each
    other.
    """

    query: int
    size_gb: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= MAX_STAGES:
            raise PolicyError(f"{self.name}: {len(self.stages)} stages; give 1 to {MAX_STAGES}")
        for number, stage in enumerate(self.stages):
            _check_stage(f"{self.name}, stage {number}", stage, number, len(self.stages))
        self.order()

    @property
    def name(self) -> str:
        """How errors and tables name the job."""
        return f"query {self.query} at {self.size_gb} GB"

    def order(self) -> list[int]:
        """The stages in an order in which parents come first (Kahn 1962). Raises PolicyError for a
        cycle.
        """
        return topological_order([stage.parents for stage in self.stages], self.name)


def topological_order(parents: Sequence[Sequence[int]], name: str) -> list[int]:
    """Stage numbers, parents first; PolicyError naming the job and the stages of a cycle."""
    order: list[int] = []
    done: set[int] = set()
    left = list(range(len(parents)))
    while left:
        ready = [stage for stage in left if done.issuperset(parents[stage])]
        if not ready:
            stages = ", ".join(str(stage) for stage in _cycle(parents, left)[:10])
            raise PolicyError(
                f"{name}: stages {stages} wait for each other (a cycle); "
                "remove one of their parents"
            )
        order += ready
        done.update(ready)
        left = [stage for stage in left if stage not in done]
    return order


def _cycle(parents: Sequence[Sequence[int]], left: Sequence[int]) -> list[int]:
    """The stages of one cycle, in rising order. Each of ``left`` has a parent among them."""
    seen: list[int] = []
    stage = left[0]
    while stage not in seen:
        seen.append(stage)
        stage = next(parent for parent in parents[stage] if parent in left)
    return sorted(seen[seen.index(stage) :])


def _check_stage(where: str, stage: Stage, number: int, stages: int) -> None:
    if not 1 <= stage.tasks <= MAX_TASKS:
        raise PolicyError(f"{where}: {stage.tasks} tasks; give 1 to {MAX_TASKS}")
    if not 0 <= stage.shuffle_bytes_per_task <= 10**12:
        raise PolicyError(f"{where}: {stage.shuffle_bytes_per_task} shuffle bytes; give 0 to 10^12")
    if len(set(stage.parents)) != len(stage.parents):
        raise PolicyError(f"{where}: parent named twice in {list(stage.parents)}")
    for parent in stage.parents:
        if not 0 <= parent < stages or parent == number:
            raise PolicyError(
                f"{where}: parent {parent} is no other stage of the job (0 to {stages - 1})"
            )
    counts = [level.executors for level in stage.levels]
    if not counts or counts != sorted(set(counts)) or counts[0] < 1:
        raise PolicyError(f"{where}: levels {counts}; give numbers of executors from 1, rising")
    for level in stage.levels:
        times = level.all_ms()
        if not len(times):
            raise PolicyError(f"{where}: no task time at {level.executors} executors")
        if times.min() < 0 or times.max() > MAX_TASK_MS:
            worst = times.min() if times.min() < 0 else times.max()
            raise PolicyError(
                f"{where}: a task time of {worst} ms at {level.executors} executors; "
                f"give 0 to {MAX_TASK_MS}"
            )
