"""A lower bound on the mean completion time: no policy can do better with the same task draws."""

from __future__ import annotations

import heapq

import numpy as np

from policy.tasks.cjs.catalogue import PARENTS, PARENTS_END
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import (
    ARRIVAL,
    END,
    EXECUTORS,
    FIRST,
    JOBS,
    KIND,
    MOVING_MS,
    Cluster,
)


def lower_bound_ms(environment: ClusterEnvironment) -> float:
    """The larger of two bounds on the mean: every job has the cluster for itself, and a single
    machine as fast as all executors together serves the shortest remaining work first (optimal with
    pre-emption: Schrage, Operations Research 16, 1968). Every task takes its least time.
    """
    cluster = environment.cluster
    times_ms = np.zeros((len(cluster.stage), 2), np.int64)
    ENTRIES.least_times(cluster, times_ms)
    executors, jobs = int(cluster.scalar[EXECUTORS]), int(cluster.scalar[JOBS])
    alone = [_alone_ms(cluster, job, times_ms.astype(np.float64), executors) for job in range(jobs)]
    rows = cluster.job[:jobs]
    work_ms = np.array([times_ms[first:end, 0].sum() for first, end in rows[:, [FIRST, END]]])
    shared = shortest_remaining_first(rows[:, ARRIVAL].astype(float), work_ms / executors)
    return max(float(np.mean(alone)), float(shared.mean()) + float(cluster.scalar[MOVING_MS]))


def shortest_remaining_first(arrivals: FloatArray, work: FloatArray) -> FloatArray:
    """Completion time of each job, less its arrival, on one machine of speed 1."""
    done = np.zeros(len(arrivals))
    waiting: list[tuple[float, int]] = []
    now = 0.0
    for number in range(len(arrivals) + 1):
        until = arrivals[number] if number < len(arrivals) else np.inf
        while waiting and now < until:
            left, job = heapq.heappop(waiting)
            if now + left > until:
                heapq.heappush(waiting, (left - (until - now), job))
                now = until
            else:
                now += left
                done[job] = now - arrivals[job]
        now = max(now, until)
        if number < len(arrivals):
            heapq.heappush(waiting, (float(work[number]), number))
    return done


def _alone_ms(cluster: Cluster, job: int, times_ms: FloatArray, executors: int) -> float:
    """The heaviest path of a job, each stage at its longest task or at its work over all
    executors.
    """
    first, end = int(cluster.job[job, FIRST]), int(cluster.job[job, END])
    ends: dict[int, float] = {}
    left = list(range(end - first))
    while left:
        for number in left:
            kind = cluster.stage[first + number, KIND]
            parents = cluster.flat[cluster.kind[kind, PARENTS] : cluster.kind[kind, PARENTS_END]]
            if all(int(parent) in ends for parent in parents):
                total, longest = times_ms[first + number]
                begin = max((ends[int(parent)] for parent in parents), default=0.0)
                ends[number] = begin + max(longest, total / executors)
        left = [number for number in left if number not in ends]
    return max(ends.values()) + float(cluster.scalar[MOVING_MS])
