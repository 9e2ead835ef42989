"""What the rule policies share: which stage of a job is next, and who may have how many
executors.
"""

from __future__ import annotations

from policy.tasks.cjs.catalogue import PATH_MS
from policy.tasks.cjs.simulator.executors import job_of_pool, schedulable, uncommitted
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    END,
    FIRST,
    KIND,
    NOWHERE,
    SOURCE,
    SUPPLY,
    WAITING,
    WORK,
    Cluster,
)


@inner
def source_job(cluster: Cluster) -> int:
    """The job that gives executors away in this round, or NOWHERE."""
    return job_of_pool(cluster, cluster.scalar[SOURCE])


@inner
def ready_stage(cluster: Cluster, job: int) -> int:
    """The job's first schedulable stage whose parents have finished, else its first schedulable
    one.
    """
    second = NOWHERE
    source = source_job(cluster)
    for stage in range(cluster.job[job, FIRST], cluster.job[job, END]):
        if schedulable(cluster, stage, source):
            if cluster.stage[stage, WAITING] == 0:
                return int(stage)
            if second == NOWHERE:
                second = stage
    return int(second)


@inner
def critical_stage(cluster: Cluster, job: int) -> int:
    """The job's schedulable stage with the heaviest path to the job's end, or NOWHERE."""
    best, heaviest = NOWHERE, -1.0
    source = source_job(cluster)
    for stage in range(cluster.job[job, FIRST], cluster.job[job, END]):
        path_ms = cluster.kind[cluster.stage[stage, KIND], PATH_MS]
        if path_ms > heaviest and schedulable(cluster, stage, source):
            best, heaviest = stage, path_ms
    return int(best)


@inner
def keep_source(cluster: Cluster) -> tuple[int, int]:
    """All executors of the source job to a stage of the same job, or (NOWHERE, 0) if it has
    none.
    """
    job = source_job(cluster)
    stage = ready_stage(cluster, job) if job != NOWHERE else NOWHERE
    return stage, uncommitted(cluster) if stage != NOWHERE else 0


@inner
def in_order_of_arrival(cluster: Cluster, limit: int) -> tuple[int, int]:
    """The source job first, then the oldest job with fewer than ``limit`` executors."""
    stage, count = keep_source(cluster)
    if stage != NOWHERE:
        return stage, count
    source = source_job(cluster)
    for at in range(cluster.scalar[ACTIVE]):
        job = cluster.job[at, ACTIVE_JOB]
        supply = cluster.job[job, SUPPLY]
        if supply < limit and job != source:
            stage = ready_stage(cluster, job)
            if stage != NOWHERE:
                return stage, min(uncommitted(cluster), limit - supply)
    return NOWHERE, 0


@inner
def supply_of_others(cluster: Cluster, job: int) -> int:
    """The job's executors, less those that are to be committed in this round."""
    own = uncommitted(cluster) if job == source_job(cluster) else 0
    return int(cluster.job[job, SUPPLY] - own)


@inner
def shortest_job(cluster: Cluster, limit: int) -> int:
    """The job with the least work left that has a schedulable stage and fewer than ``limit``
    executors.
    """
    best = NOWHERE
    for at in range(cluster.scalar[ACTIVE]):
        job = cluster.job[at, ACTIVE_JOB]
        shorter = best == NOWHERE or cluster.job[job, WORK] < cluster.job[best, WORK]
        if (
            shorter
            and supply_of_others(cluster, job) < limit
            and ready_stage(cluster, job) != NOWHERE
        ):
            best = job
    return int(best)


@inner
def room(cluster: Cluster, job: int, limit: int) -> int:
    """Executors to commit to the job so that it has at most ``limit``, and at least one."""
    return int(max(1, min(uncommitted(cluster), limit - supply_of_others(cluster, job))))
