"""Where executors go: commitments between pools, moves, launches, and what is tried when a stage is
full.
"""

from __future__ import annotations

from policy.tasks.cjs.catalogue import MEAN_MS, PARENTS, PARENTS_END
from policy.tasks.cjs.simulator.durations import draw_task_ms
from policy.tasks.cjs.simulator.fluid import begin_fetch
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    AT_JOB,
    BUSY,
    CHOSEN,
    COMMITMENTS,
    COMMITTED,
    COMMITTED_FROM,
    COUNT,
    END,
    EVENT,
    EVENT_NUMBER,
    EXECUTORS,
    FIRST,
    FROM,
    JOB,
    KIND,
    LAST,
    LAUNCHED_STAGES,
    LOCAL,
    MOVING,
    MOVING_MS,
    NEVER,
    NOW,
    NOWHERE,
    POOL,
    REMAINING,
    RUNNING,
    SEQUENCE,
    SIZE,
    SOURCE,
    STARTED,
    SUPPLY,
    TARGET,
    TASK_OF,
    TO,
    WAITING,
    WORK,
    Cluster,
)


@inner
def job_of_pool(cluster: Cluster, pool: int) -> int:
    """The job that a pool belongs to; NOWHERE for the common pool."""
    jobs = len(cluster.job)
    if pool <= 0:
        return NOWHERE
    return int(pool - 1 if pool <= jobs else cluster.stage[pool - 1 - jobs, JOB])


@inner
def stage_pool(cluster: Cluster, stage: int) -> int:
    return 1 + len(cluster.job) + stage


@inner
def demand(cluster: Cluster, stage: int) -> int:
    """Executors that the stage can still take; below 1 it is saturated."""
    rows = cluster.stage
    return int(rows[stage, REMAINING] - rows[stage, MOVING] - rows[stage, COMMITTED])


@inner
def schedulable(cluster: Cluster, stage: int, source_job: int) -> bool:
    """Unsaturated, all parents saturated, not chosen in this round, and its job may get
    executors.
    """
    job = cluster.stage[stage, JOB]
    if cluster.stage[stage, CHOSEN] or demand(cluster, stage) <= 0:
        return False
    if job != source_job and cluster.job[job, SUPPLY] >= cluster.scalar[EXECUTORS]:
        return False
    kind, base = cluster.stage[stage, KIND], cluster.job[job, FIRST]
    for at in range(cluster.kind[kind, PARENTS], cluster.kind[kind, PARENTS_END]):
        if demand(cluster, base + cluster.flat[at]) > 0:
            return False
    return True


@inner
def first_schedulable(cluster: Cluster, job: int, source_job: int) -> int:
    """The job's first schedulable stage, or NOWHERE."""
    for stage in range(cluster.job[job, FIRST], cluster.job[job, END]):
        if schedulable(cluster, stage, source_job):
            return int(stage)
    return NOWHERE


@inner
def uncommitted(cluster: Cluster) -> int:
    """Executors of the source pool that are not committed yet."""
    source = cluster.scalar[SOURCE]
    if source == NOWHERE:
        return 0
    return int(cluster.pool[source, SIZE] - cluster.pool[source, COMMITTED_FROM])


@inner
def commit(cluster: Cluster, pool: int, count: int) -> None:
    """Promise so many executors of the source pool to another pool (a stage's, or the common
    one).
    """
    scalar, rows = cluster.scalar, cluster.commitment
    source = scalar[SOURCE]
    at = 0
    while at < scalar[COMMITMENTS] and not (rows[at, FROM] == source and rows[at, TO] == pool):
        at += 1
    if at == scalar[COMMITMENTS]:
        rows[at, FROM], rows[at, TO], rows[at, COUNT] = source, pool, 0
        scalar[COMMITMENTS] += 1
    rows[at, COUNT] += count
    cluster.pool[source, COMMITTED_FROM] += count
    if pool > 0:
        cluster.stage[pool - 1 - len(cluster.job), COMMITTED] += count
        job = job_of_pool(cluster, pool)
        if job != job_of_pool(cluster, source):
            cluster.job[job, SUPPLY] += count


@inner
def oldest_commitment(cluster: Cluster, source: int) -> int:
    """Row of the first commitment from this pool, or NOWHERE."""
    for at in range(cluster.scalar[COMMITMENTS]):
        if cluster.commitment[at, FROM] == source:
            return int(at)
    return NOWHERE


@inner
def fulfil(cluster: Cluster, executor: int, at: int) -> None:
    """Send an executor where the commitment in row ``at`` says."""
    scalar, rows = cluster.scalar, cluster.commitment
    source, pool = rows[at, FROM], rows[at, TO]
    rows[at, COUNT] -= 1
    if rows[at, COUNT] == 0:
        scalar[COMMITMENTS] -= 1
        for row in range(at, scalar[COMMITMENTS]):
            for column in (FROM, TO, COUNT):
                rows[row, column] = rows[row + 1, column]
    cluster.pool[source, COMMITTED_FROM] -= 1
    if pool == 0:
        leave_pool_idle(cluster, executor, source)
        return
    stage = pool - 1 - len(cluster.job)
    cluster.stage[stage, COMMITTED] -= 1
    job = cluster.stage[stage, JOB]
    if job != job_of_pool(cluster, source):
        cluster.job[job, SUPPLY] -= 1
    assign(cluster, executor, stage)


@inner
def assign(cluster: Cluster, executor: int, stage: int) -> None:
    """Let an executor work for a stage: at once, after a move, or for another stage if this one is
    full.
    """
    state = cluster.executor[executor]
    if cluster.stage[stage, REMAINING] == 0:
        stage = _backup(cluster, executor)
        if stage == NOWHERE:
            leave_pool_idle(cluster, executor, state[POOL])
            return
    job = cluster.stage[stage, JOB]
    if state[AT_JOB] != job:
        _send(cluster, executor, stage)
    elif cluster.stage[stage, WAITING]:
        state[TASK_OF] = NOWHERE
        _place(cluster, executor, 1 + job)
    else:
        _place(cluster, executor, stage_pool(cluster, stage))
        launch(cluster, executor, stage)


@inner
def launch(cluster: Cluster, executor: int, stage: int) -> None:
    """Start the stage's next task on an executor at its job."""
    state, row = cluster.executor[executor], cluster.stage[stage]
    job = cluster.stage[stage, JOB]
    task_ms = draw_task_ms(cluster, executor, stage)
    row[REMAINING] -= 1
    row[RUNNING] += 1
    row[LAST] = task_ms
    cluster.job[job, WORK] -= cluster.kind[cluster.stage[stage, KIND], MEAN_MS]
    if row[REMAINING] == 0:
        cluster.job[job, LAUNCHED_STAGES] += 1
    state[TASK_OF] = stage
    state[BUSY] = 1
    state[STARTED] = cluster.scalar[NOW]
    _schedule(cluster, executor, stage, task_ms)
    if begin_fetch(cluster, executor, stage, task_ms):
        state[EVENT] = NEVER


@inner
def leave_pool_idle(cluster: Cluster, executor: int, source: int) -> None:
    """Move an idle executor from a stage to its job's pool; to the common pool if the job needs no
    more.
    """
    if source == 0:
        return
    job = job_of_pool(cluster, source)
    launched_all = (
        cluster.job[job, LAUNCHED_STAGES] == cluster.job[job, END] - cluster.job[job, FIRST]
    )
    if launched_all:
        _place(cluster, executor, 0)
        cluster.job[job, LOCAL] -= 1
        cluster.job[job, SUPPLY] -= 1
        cluster.executor[executor, AT_JOB] = NOWHERE
        cluster.executor[executor, TASK_OF] = NOWHERE
    elif source != 1 + job:
        _place(cluster, executor, 1 + job)


@inner
def arrive(cluster: Cluster, executor: int) -> None:
    """End a move."""
    state = cluster.executor[executor]
    stage = state[TARGET]
    job = cluster.stage[stage, JOB]
    state[EVENT] = NEVER
    state[AT_JOB] = job
    cluster.job[job, LOCAL] += 1
    cluster.stage[stage, MOVING] -= 1
    _place(cluster, executor, 1 + job)
    assign(cluster, executor, stage)


@inner
def _send(cluster: Cluster, executor: int, stage: int) -> None:
    state = cluster.executor[executor]
    if state[AT_JOB] != NOWHERE:
        cluster.job[state[AT_JOB], LOCAL] -= 1
        cluster.job[state[AT_JOB], SUPPLY] -= 1
    _place(cluster, executor, NOWHERE)
    cluster.stage[stage, MOVING] += 1
    cluster.job[cluster.stage[stage, JOB], SUPPLY] += 1
    state[AT_JOB] = NOWHERE
    state[TASK_OF] = NOWHERE
    _schedule(cluster, executor, stage, cluster.scalar[MOVING_MS])


@inner
def _backup(cluster: Cluster, executor: int) -> int:
    """The first stage of the executor's job that can take it, else of any job."""
    own = cluster.executor[executor, AT_JOB]
    stage = first_schedulable(cluster, own, own)
    at = 0
    while stage == NOWHERE and at < cluster.scalar[ACTIVE]:
        if cluster.job[at, ACTIVE_JOB] != own:
            stage = first_schedulable(cluster, cluster.job[at, ACTIVE_JOB], own)
        at += 1
    return int(stage)


@inner
def _place(cluster: Cluster, executor: int, pool: int) -> None:
    state = cluster.executor[executor]
    if state[POOL] != NOWHERE:
        cluster.pool[state[POOL], SIZE] -= 1
    if pool != NOWHERE:
        cluster.pool[pool, SIZE] += 1
    state[POOL] = pool


@inner
def _schedule(cluster: Cluster, executor: int, stage: int, after_ms: int) -> None:
    state = cluster.executor[executor]
    state[EVENT] = cluster.scalar[NOW] + after_ms
    cluster.scalar[SEQUENCE] += 1
    state[EVENT_NUMBER] = cluster.scalar[SEQUENCE]
    state[TARGET] = stage
