"""Events and scheduling rounds: what a decision does, and when the next one is due."""

from __future__ import annotations

from policy.tasks.cjs.catalogue import CHILDREN, CHILDREN_END
from policy.tasks.cjs.simulator.executors import (
    arrive,
    commit,
    demand,
    first_schedulable,
    fulfil,
    job_of_pool,
    launch,
    leave_pool_idle,
    oldest_commitment,
    schedulable,
    stage_pool,
    uncommitted,
)
from policy.tasks.cjs.simulator.fluid import deliver, note_end
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    ARRIVAL,
    ARRIVED,
    BUSY,
    CHOSEN,
    DECISIONS,
    DONE,
    END,
    ENDED,
    EVENT,
    EVENT_NUMBER,
    FINISHED,
    FINISHED_STAGES,
    FIRST,
    JOB,
    JOB_TIME,
    JOBS,
    KIND,
    NEVER,
    NOW,
    NOWHERE,
    POOL,
    REMAINING,
    RUNNING,
    SIZE,
    SOURCE,
    TARGET,
    TASK_OF,
    WAITING,
    Cluster,
)


@inner
def decide(cluster: Cluster, stage: int, executors: int) -> bool:
    """Commit executors of the source pool to a stage, clipped to what it can take; NOWHERE passes.

    False, with nothing changed, for a stage that is not schedulable or less than one executor.
    """
    scalar = cluster.scalar
    if stage == NOWHERE:
        _commit_rest(cluster)
    else:
        source_job = job_of_pool(cluster, scalar[SOURCE])
        inside = 0 <= stage < len(cluster.stage) and cluster.stage[stage, JOB] < scalar[ARRIVED]
        if not inside or executors < 1 or not schedulable(cluster, stage, source_job):
            return False
        count = min(executors, demand(cluster, stage), uncommitted(cluster))
        commit(cluster, stage_pool(cluster, stage), count)
        cluster.stage[stage, CHOSEN] = 1
    scalar[DECISIONS] += 1
    return True


@inner
def open_round(cluster: Cluster, until_ms: int) -> bool:
    """Go on to the next decision: True if one is due, False if all jobs are done or time is
    ``until_ms``.
    """
    scalar = cluster.scalar
    if uncommitted(cluster) > 0 and _any_schedulable(cluster):
        return True
    if scalar[SOURCE] != NOWHERE:
        _close_round(cluster)
    while scalar[FINISHED] < scalar[JOBS]:
        if not _next_event(cluster, until_ms):
            return False
        # All jobs that arrive at the very beginning share the first round.
        if (
            scalar[NOW] == 0
            and scalar[ARRIVED] < scalar[JOBS]
            and (cluster.job[scalar[ARRIVED], ARRIVAL] == 0)
        ):
            continue
        if uncommitted(cluster) > 0:
            if _any_schedulable(cluster):
                return True
            _release_source(cluster)
            scalar[SOURCE] = NOWHERE
    return False


@inner
def _any_schedulable(cluster: Cluster) -> bool:
    source_job = job_of_pool(cluster, cluster.scalar[SOURCE])
    for at in range(cluster.scalar[ACTIVE]):
        if first_schedulable(cluster, cluster.job[at, ACTIVE_JOB], source_job) != NOWHERE:
            return True
    return False


@inner
def _commit_rest(cluster: Cluster) -> None:
    left = uncommitted(cluster)
    if left > 0:
        commit(cluster, 0, left)


@inner
def _close_round(cluster: Cluster) -> None:
    """Commit what is left to the common pool, and let the idle executors of the source pool go."""
    scalar = cluster.scalar
    _commit_rest(cluster)
    source = scalar[SOURCE]
    for executor in range(len(cluster.executor)):
        if cluster.executor[executor, POOL] == source and not cluster.executor[executor, BUSY]:
            at = oldest_commitment(cluster, source)
            if at == NOWHERE:
                break
            fulfil(cluster, executor, at)
    scalar[SOURCE] = NOWHERE
    for at in range(scalar[ACTIVE]):
        job = cluster.job[at, ACTIVE_JOB]
        for stage in range(cluster.job[job, FIRST], cluster.job[job, END]):
            cluster.stage[stage, CHOSEN] = 0


@inner
def _release_source(cluster: Cluster) -> None:
    source = cluster.scalar[SOURCE]
    if source != 0:
        _release_idle(cluster, source)


@inner
def _release_idle(cluster: Cluster, pool: int) -> None:
    for executor in range(len(cluster.executor)):
        if cluster.executor[executor, POOL] == pool and not cluster.executor[executor, BUSY]:
            leave_pool_idle(cluster, executor, pool)


@inner
def _next_executor(cluster: Cluster) -> int:
    """The executor whose task or move ends first, of equal times the one scheduled first; or
    NOWHERE.
    """
    first, at_ms, number = NOWHERE, NEVER, NEVER
    for executor in range(len(cluster.executor)):
        end_ms = cluster.executor[executor, EVENT]
        if end_ms <= at_ms and end_ms < NEVER:
            event = cluster.executor[executor, EVENT_NUMBER]
            if end_ms < at_ms or event < number:
                first, at_ms, number = executor, end_ms, event
    # A constant would have its callers compiled once more.
    return int(first)


@inner
def _next_event(cluster: Cluster, until_ms: int) -> bool:
    scalar = cluster.scalar
    deliver(cluster, until_ms)
    first = _next_executor(cluster)
    at_ms = cluster.executor[first, EVENT] if first != NOWHERE else NEVER
    arrival = scalar[ARRIVED] < scalar[JOBS] and cluster.job[scalar[ARRIVED], ARRIVAL] <= at_ms
    if arrival:
        at_ms = cluster.job[scalar[ARRIVED], ARRIVAL]
    end_ms = min(at_ms, until_ms)
    scalar[JOB_TIME] += scalar[ACTIVE] * (end_ms - scalar[NOW])
    scalar[NOW] = end_ms
    if at_ms > until_ms or at_ms == NEVER:
        return False
    if arrival:
        cluster.job[scalar[ACTIVE], ACTIVE_JOB] = scalar[ARRIVED]
        scalar[ACTIVE] += 1
        scalar[ARRIVED] += 1
        if cluster.pool[0, SIZE] > 0:
            scalar[SOURCE] = 0
    elif cluster.executor[first, BUSY]:
        _end_task(cluster, first)
    else:
        arrive(cluster, first)
    return True


@inner
def _end_task(cluster: Cluster, executor: int) -> None:
    scalar, state = cluster.scalar, cluster.executor[executor]
    stage = state[TARGET]
    row, job = cluster.stage[stage], cluster.stage[stage, JOB]
    row[RUNNING] -= 1
    row[ENDED] += 1
    note_end(cluster, executor, stage)
    state[BUSY] = 0
    state[EVENT] = NEVER
    if row[REMAINING] > 0:
        launch(cluster, executor, stage)
        return
    unlocked = row[RUNNING] == 0 and _end_stage(cluster, stage)
    pool = stage_pool(cluster, stage)
    at = oldest_commitment(cluster, pool)
    if at != NOWHERE:
        fulfil(cluster, executor, at)
    else:
        state[TASK_OF] = NOWHERE
        if unlocked:
            leave_pool_idle(cluster, executor, pool)
    if unlocked:
        scalar[SOURCE] = 1 + job
    elif at == NOWHERE:
        scalar[SOURCE] = pool


@inner
def _end_stage(cluster: Cluster, stage: int) -> bool:
    """Mark a stage, and with the last one its job, as finished; whether another stage may start
    now.
    """
    scalar = cluster.scalar
    job, kind = cluster.stage[stage, JOB], cluster.stage[stage, KIND]
    base = cluster.job[job, FIRST]
    cluster.job[job, FINISHED_STAGES] += 1
    unlocked = False
    for at in range(cluster.kind[kind, CHILDREN], cluster.kind[kind, CHILDREN_END]):
        child = base + cluster.flat[at]
        cluster.stage[child, WAITING] -= 1
        unlocked = unlocked or cluster.stage[child, WAITING] == 0
    if cluster.job[job, FINISHED_STAGES] == cluster.job[job, END] - base:
        _release_idle(cluster, 1 + job)
        cluster.job[job, DONE] = scalar[NOW]
        scalar[FINISHED] += 1
        scalar[ACTIVE] -= 1
        at = 0
        while cluster.job[at, ACTIVE_JOB] != job:
            at += 1
        for later in range(at, scalar[ACTIVE]):
            cluster.job[later, ACTIVE_JOB] = cluster.job[later + 1, ACTIVE_JOB]
    return unlocked
