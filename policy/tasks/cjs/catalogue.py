"""Kinds of jobs as flat arrays, the form that the simulator reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.job import IntArray, Job, Level

# Columns of Catalogue.stage. Parents, children and levels are given as places in Catalogue.flat.
TASKS = 0
MEAN_MS = 1  # mean of all times
PATH_MS = 2  # work of the heaviest path from the stage to the job's end
SHUFFLE_BYTES = 3  # of each task
PARENTS = 4
PARENTS_END = 5
CHILDREN = 6
CHILDREN_END = 7
LEVELS = 8
LEVELS_END = 9
FEW_MS = 10  # mean of the times on the fewest executors that were measured
MANY_MS = 11  # on the most
COLUMNS = 12

# A level in Catalogue.flat: executors, where fresh, first and rest begin in Catalogue.flat, and
# where rest ends.
LEVEL_SIZE = 5


class Catalogue(NamedTuple):
    """Stages of all kinds of jobs, one after another: those of job k are rows first[k] to first[k +
    1].
    """

    first: IntArray  # [jobs + 1]
    stage: IntArray  # [stages, COLUMNS]
    flat: IntArray  # numbers of stages within their job, levels, task times in ms


def build_catalogue(jobs: Sequence[Job]) -> Catalogue:
    """The jobs as arrays, in their order. Raises PolicyError for none."""
    if not jobs:
        raise PolicyError("no jobs to schedule; give at least one")
    flat: list[int] = []
    rows = []
    for job in jobs:
        path_ms = longest_paths_ms(job)
        for number, stage in enumerate(job.stages):
            levels = []
            for level in stage.levels:
                row = [level.executors]
                for times in (level.fresh_ms, level.first_ms, level.rest_ms):
                    row.append(len(flat))
                    flat += times.tolist()
                levels += [*row, len(flat)]
            children = [child for child, other in enumerate(job.stages) if number in other.parents]
            bounds = []
            for numbers in (list(stage.parents), children, levels):
                bounds += [len(flat), len(flat) + len(numbers)]
                flat += numbers
            rows.append(
                [
                    stage.tasks,
                    round(stage.mean_ms()),
                    path_ms[number],
                    stage.shuffle_bytes_per_task,
                    *bounds,
                    *(_mean_ms(stage.levels[at]) for at in (0, -1)),
                ]
            )
    first = np.concatenate([[0], np.cumsum([len(job.stages) for job in jobs])])
    return Catalogue(first.astype(np.int64), np.array(rows, np.int64), np.array(flat, np.int64))


def _mean_ms(level: Level) -> int:
    times_ms = np.concatenate([level.fresh_ms, level.first_ms, level.rest_ms])
    return max(1, round(float(times_ms.mean())))


def longest_paths_ms(job: Job) -> list[int]:
    """For each stage the work of the heaviest path from the stage to the job's end, at mean task
    times.
    """
    path_ms = [0] * len(job.stages)
    below = [0] * len(job.stages)
    for number in reversed(job.order()):
        stage = job.stages[number]
        path_ms[number] = below[number] + stage.tasks * round(stage.mean_ms())
        for parent in stage.parents:
            below[parent] = max(below[parent], path_ms[number])
    return path_ms
