"""What a learned policy sees: padded arrays of the jobs in the cluster, written in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from policy.tasks.cjs.catalogue import FEW_MS, MANY_MS, MEAN_MS, PARENTS, PARENTS_END, PATH_MS
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.simulator.executors import demand, job_of_pool, schedulable, uncommitted
from policy.tasks.cjs.simulator.fluid import fetch_ms
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    ARRIVAL,
    AT_JOB,
    COMMITTED,
    END,
    EXECUTORS,
    FIRST,
    KIND,
    LAST,
    LOCAL,
    MOVING,
    NOW,
    NOWHERE,
    REMAINING,
    RUNNING,
    SOURCE,
    SUPPLY,
    WAITING,
    WORK,
    Cluster,
)

STAGE_FEATURES = (
    "unlaunched tasks / 200",
    "running tasks / executors",
    "executors committed or moving / executors",
    "mean task time, log1p of s",
    "time of the task launched last, log1p of s",
    "unlaunched work, log1p of s",
    "parents have finished",
    "may be chosen",
    "heaviest path to the job's end, log1p of s",
    "task time on the most executors / on the fewest, log",
)
JOB_FEATURES = (
    "supply / executors",
    "local executors / executors",
    "gives its executors away now",
    "unlaunched work, log1p of s",
    "time in the cluster, log1p of s",
)
CLUSTER_FEATURES = (
    "executors to commit / executors",
    "jobs in the cluster / 10",
    "executors at no job / executors",
    "the common pool is the source",
    "executors / 50",
)

# Mean task times and unlaunched work hold what inputs take, at the rate of the tasks that ended
# last; the time of the task launched last and the path hold computing alone.

FloatObservation = NDArray[np.float32]


class Observation(NamedTuple):
    """stages [jobs, V, STAGE_FEATURES]; jobs [jobs, JOB_FEATURES]; cluster [CLUSTER_FEATURES];
    adjacency [jobs, V, V], 1 where the second stage waits for the first; present, candidates [jobs,
    V]; stage_number [jobs, V], the stage to give to ``step``. Rows beyond the jobs and stages at
    hand are 0.
    """

    stages: FloatObservation
    jobs: FloatObservation
    cluster: FloatObservation
    adjacency: NDArray[np.uint8]
    present: NDArray[np.uint8]
    candidates: NDArray[np.uint8]
    stage_number: IntArray


def new_observation(jobs: int, stages: int) -> Observation:
    """An empty observation of so many jobs, of so many stages each."""
    return Observation(
        np.zeros((jobs, stages, len(STAGE_FEATURES)), np.float32),
        np.zeros((jobs, len(JOB_FEATURES)), np.float32),
        np.zeros(len(CLUSTER_FEATURES), np.float32),
        np.zeros((jobs, stages, stages), np.uint8),
        np.zeros((jobs, stages), np.uint8),
        np.zeros((jobs, stages), np.uint8),
        np.zeros((jobs, stages), np.int64),
    )


@inner
def observe(cluster: Cluster, seen: Observation) -> int:
    """Fill ``seen``; the number of jobs in it. Jobs with the least work come first in what has to
    be left out.
    """
    scalar, executors = cluster.scalar, cluster.scalar[EXECUTORS]
    seen.stages[:] = 0
    seen.jobs[:] = 0
    seen.adjacency[:] = 0
    seen.present[:] = 0
    seen.candidates[:] = 0
    seen.stage_number[:] = 0
    source = job_of_pool(cluster, scalar[SOURCE])
    away = 0
    for number in range(executors):
        away += cluster.executor[number, AT_JOB] == NOWHERE
    seen.cluster[0] = uncommitted(cluster) / executors
    seen.cluster[1] = scalar[ACTIVE] / 10
    seen.cluster[2] = away / executors
    seen.cluster[3] = 1 if source == NOWHERE else 0
    seen.cluster[4] = executors / 50
    row = 0
    for at in range(scalar[ACTIVE]):
        if _shown(cluster, at, len(seen.jobs), source):
            _observe_job(cluster, seen, row, cluster.job[at, ACTIVE_JOB], source)
            row += 1
    return row


@inner
def _shown(cluster: Cluster, at: int, rows: int, source: int) -> bool:
    """Whether the job at place ``at`` of the active ones has a row: the source job, and of the
    others those with the least work, the older first.
    """
    job, count = cluster.job[at, ACTIVE_JOB], cluster.scalar[ACTIVE]
    if count <= rows or job == source:
        return True
    before = 0
    for other in range(count):
        one = cluster.job[other, ACTIVE_JOB]
        more = cluster.job[one, WORK] - cluster.job[job, WORK]
        before += one != source and (more < 0 or (more == 0 and other < at))
    return before < (rows - 1 if source != NOWHERE else rows)


@inner
def _observe_job(cluster: Cluster, seen: Observation, row: int, job: int, source: int) -> None:
    executors = cluster.scalar[EXECUTORS]
    features = seen.jobs[row]
    features[0] = cluster.job[job, SUPPLY] / executors
    features[1] = cluster.job[job, LOCAL] / executors
    features[2] = 1 if job == source else 0
    features[4] = np.log1p((cluster.scalar[NOW] - cluster.job[job, ARRIVAL]) / 1e3)
    first, work_ms = cluster.job[job, FIRST], float(max(0, cluster.job[job, WORK]))
    for column in range(cluster.job[job, END] - first):
        stage = first + column
        state, kind = cluster.stage[stage], cluster.stage[stage, KIND]
        seen.stage_number[row, column] = stage
        if state[REMAINING] == 0 and state[RUNNING] == 0:
            continue
        seen.present[row, column] = 1
        may = demand(cluster, stage) > 0 and schedulable(cluster, stage, source)
        seen.candidates[row, column] = 1 if may else 0
        task_ms = cluster.kind[kind, MEAN_MS] + fetch_ms(cluster, kind)
        work_ms += state[REMAINING] * fetch_ms(cluster, kind)
        node = seen.stages[row, column]
        node[0] = state[REMAINING] / 200
        node[1] = state[RUNNING] / executors
        node[2] = (state[COMMITTED] + state[MOVING]) / executors
        node[3] = np.log1p(task_ms / 1e3)
        node[4] = np.log1p(state[LAST] / 1e3)
        node[5] = np.log1p(state[REMAINING] * task_ms / 1e3)
        node[6] = 1 if state[WAITING] == 0 else 0
        node[7] = 1 if may else 0
        node[8] = np.log1p(cluster.kind[kind, PATH_MS] / 1e3)
        node[9] = np.log(cluster.kind[kind, MANY_MS] / cluster.kind[kind, FEW_MS])
        for at in range(cluster.kind[kind, PARENTS], cluster.kind[kind, PARENTS_END]):
            parent = cluster.flat[at]
            if cluster.stage[first + parent, REMAINING] or cluster.stage[first + parent, RUNNING]:
                seen.adjacency[row, parent, column] = 1
    features[3] = np.log1p(work_ms / 1e3)
