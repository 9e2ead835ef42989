"""A cluster as arrays of integers: what their columns mean, and how they begin.

Places where executors are ("pools") are numbered: 0 is the common pool, 1 + j the pool of job j,
1 + jobs + s that of stage s. Stages are numbered through all jobs of the sequence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy.tasks.cjs.catalogue import MEAN_MS, PARENTS, PARENTS_END, TASKS, Catalogue
from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.network import NO_NETWORK, Network
from policy.tasks.cjs.sequences import Arrivals

NOWHERE = -1
NEVER = 2**62

# Columns of Cluster.scalar.
NOW = 0  # ms
SEQUENCE = 1  # events pushed so far, to break ties
ARRIVED = 2  # jobs so far
SOURCE = 3  # pool whose executors are being committed, or NOWHERE
ACTIVE = 4  # jobs that arrived and did not finish
FINISHED = 5  # jobs
COMMITMENTS = 6  # rows of Cluster.commitment in use
DECISIONS = 7
JOB_TIME = 8  # sum over jobs of the ms they were in the cluster
SEED = 9  # of the task times
EXECUTORS = 10
MOVING_MS = 11
WARMUP_MS = 12
COMPAT = 13
JOBS = 14  # that arrive; rows of Cluster.job beyond them are spare
SCALARS = 15

# Columns of Cluster.job [jobs].
SUPPLY = 0  # executors in the job's pools, moving to them, or committed from outside
LOCAL = 1  # executors that have arrived at the job
LAUNCHED_STAGES = 2  # stages without an unlaunched task
FINISHED_STAGES = 3
DONE = 4  # ms, NEVER before
WORK = 5  # ms of tasks not launched, at mean times
ARRIVAL = 6  # ms; of a spare job, ms after the one before
FIRST = 7  # its stages are those from FIRST on, before END
END = 8
ACTIVE_JOB = 9  # of row r: the job that is r-th, by arrival, of the ACTIVE ones
JOB_COLUMNS = 10

# Columns of Cluster.stage [stages].
REMAINING = 0  # tasks not launched
RUNNING = 1
ENDED = 2
MOVING = 3  # executors on their way
COMMITTED = 4
WAITING = 5  # parents that did not finish
CHOSEN = 6  # 1 if chosen in this round
LAST = 7  # ms that the task launched last takes
KIND = 8  # row of Catalogue.stage
JOB = 9
STAGE_COLUMNS = 10

# Columns of Cluster.executor [executors].
POOL = 0  # NOWHERE while moving
AT_JOB = 1  # job that the executor is local to, or NOWHERE
TASK_OF = 2  # stage of its last task, NOWHERE once idle
BUSY = 3
EVENT = 4  # ms at which its task or its move ends, NEVER if none
EVENT_NUMBER = 5
TARGET = 6  # stage that it works for or moves to
STARTED = 7  # ms at which its task began, of one that has fetched its input: to compute
WAVE = 8  # its task's times lie at Cluster.flat[WAVE : WAVE + WAVE_LENGTH]
WAVE_LENGTH = 9
EXTRA = 10  # ms of warm-up in the task
EXECUTOR_COLUMNS = 11

# Columns of Cluster.fetch [executors].
LEFT_BYTES = 0  # of its task's input, on a link; the task computes when it is 0
OVER = 1  # the link
COMPUTE_MS = 2  # of the task, once its input is there
TOOK_MS = 3  # the input of its task took, 0 before it is there
FETCH_COLUMNS = 4

# Columns of Cluster.link [links].
CAPACITY, TRANSFERS = 0, 1  # bytes per ms; transfers at a time, a place to count in

# Cluster.transfer: until when transfers have gone on, and sums over the tasks with an input that
# have ended, the newest counting most: ms that inputs took, and their bytes.
NETWORK_MS, RECENT_MS, RECENT_BYTES = 0, 1, 2

# Columns of Cluster.pool [1 + jobs + stages] and of Cluster.commitment [executors], oldest first.
SIZE, COMMITTED_FROM = 0, 1
FROM, TO, COUNT = 0, 1, 2


class Settings(NamedTuple):
    """``compat`` 1 draws levels with the interpolation of decima-sim, which has the two ends
    exchanged.
    """

    executors: int = 50
    moving_ms: int = 2_000
    warmup_ms: int = 1_000
    compat: int = 0


class Cluster(NamedTuple):
    """One cluster and its sequence of jobs: two arrays of the catalogue, the paths between workers
    [workers, workers], and its state. output [stages, workers]: tasks of a stage that ended there.
    """

    kind: IntArray
    flat: IntArray
    path: IntArray
    scalar: IntArray
    job: IntArray
    stage: IntArray
    executor: IntArray
    pool: IntArray
    commitment: IntArray
    output: IntArray
    fetch: FloatArray
    link: FloatArray
    transfer: FloatArray


def new_cluster(
    catalogue: Catalogue,
    arrivals: Arrivals,
    settings: Settings,
    seed: int,
    spare: Arrivals | None = None,
    network: Network = NO_NETWORK,
) -> Cluster:
    """A cluster before the first arrival, all executors in the common pool.

    ``spare`` are jobs that never arrive here: roll-outs imagine them as arrivals to come.
    """
    kinds, rows = arrivals.kind, catalogue.stage
    arrival_ms = arrivals.arrival_ms
    if spare is not None:
        kinds = np.concatenate([kinds, spare.kind])
        arrival_ms = np.concatenate([arrival_ms, np.diff(spare.arrival_ms, prepend=0)])
    jobs, executors = len(kinds), settings.executors
    counts = np.diff(catalogue.first)[kinds]
    ends = np.cumsum(counts)
    stages = int(ends[-1])
    scalar = np.zeros(SCALARS, np.int64)
    scalar[SEED], scalar[JOBS] = seed, len(arrivals)
    scalar[[EXECUTORS, MOVING_MS, WARMUP_MS, COMPAT]] = settings
    job = np.zeros((jobs, JOB_COLUMNS), np.int64)
    job[:, ARRIVAL], job[:, FIRST], job[:, END] = arrival_ms, ends - counts, ends
    job[:, DONE] = NEVER
    stage = np.zeros((stages, STAGE_COLUMNS), np.int64)
    stage[:, JOB] = np.repeat(np.arange(jobs), counts)
    own_number = np.arange(stages) - job[stage[:, JOB], FIRST]
    kind = catalogue.first[kinds][stage[:, JOB]] + own_number
    stage[:, KIND] = kind
    stage[:, REMAINING] = rows[kind, TASKS]
    stage[:, WAITING] = rows[kind, PARENTS_END] - rows[kind, PARENTS]
    stage[:, LAST] = rows[kind, MEAN_MS]
    np.add.at(job[:, WORK], stage[:, JOB], rows[kind, MEAN_MS] * rows[kind, TASKS])
    executor = np.zeros((executors, EXECUTOR_COLUMNS), np.int64)
    executor[:, [AT_JOB, TASK_OF, TARGET]] = NOWHERE
    executor[:, EVENT] = NEVER
    pool = np.zeros((1 + jobs + stages, 2), np.int64)
    pool[0, SIZE] = executors
    commitment = np.zeros((executors + 1, 3), np.int64)
    output = np.zeros((stages, len(network.path)), np.int64)
    link = np.zeros((len(network.bytes_per_ms), 2))
    link[:, CAPACITY] = network.bytes_per_ms
    return Cluster(
        rows, catalogue.flat, network.path, scalar, job, stage, executor, pool, commitment,
        output, np.zeros((executors, FETCH_COLUMNS)), link, np.zeros(3),
    )  # fmt: skip


def copy_cluster(cluster: Cluster) -> Cluster:
    """The same cluster, with a state of its own."""
    state = {name: getattr(cluster, name).copy() for name in Cluster._fields[3:]}
    return cluster._replace(**state)
