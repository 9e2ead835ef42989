"""The simulator's cluster driven by a real one: tasks end when workers say so.

What executors do between decisions (commitments, moves, the next task of a stage) is decided by the
compiled functions that simulate a cluster, so that a live cluster and a simulated one differ in the
times of tasks alone. Pure: it takes the time and reads no clock. Times are of the cluster's clock,
in ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import MEAN_MS, PARENTS, PARENTS_END, SHUFFLE_BYTES
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    ARRIVAL,
    ARRIVED,
    AT_JOB,
    BUSY,
    COMMITMENTS,
    COMMITTED,
    COMMITTED_FROM,
    COUNT,
    DONE,
    EVENT,
    EVENT_NUMBER,
    EXECUTORS,
    FINISHED,
    FIRST,
    FROM,
    JOB,
    JOBS,
    KIND,
    LAUNCHED_STAGES,
    LOCAL,
    MOVING,
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
    TOOK_MS,
    WORK,
)


@dataclass(frozen=True)
class Launch:
    """A task that is to start now, at ``start_ms``: it takes its input, then ``compute_ms``.

    task: its number in the stage; stage and parents: numbers within the job; input_bytes: all that
    it takes from the outputs of the parent stages.
    """

    slot: int
    job: int
    stage: int
    task: int
    start_ms: float
    compute_ms: int
    input_bytes: int
    parents: tuple[int, ...]


class LiveCluster:
    """A cluster of ``slots``, numbered from 0, that execute the environment's sequence of jobs.

    ``advance`` comes first and after everything else; while it returns True a decision is due.
    """

    def __init__(self, environment: ClusterEnvironment) -> None:
        self.environment = environment
        self.cluster = environment.cluster
        slots = len(self.cluster.executor)
        self._slot_of = list(range(slots))  # of each executor
        self._seen = np.zeros(slots, np.int64)  # EVENT_NUMBER of what each executor did last
        self._launches: list[Launch] = []
        self._running: dict[int, Launch] = {}  # by slot
        self._begun = np.zeros(len(self.cluster.stage), np.int64)  # tasks of each stage, once each
        self._again: dict[int, list[int]] = {}  # numbers of lost tasks by stage
        self._decided_ms: float | None = None
        self._wake: list[int] = []  # pools whose executors are to be offered once more
        self._lost = False
        self._woken: int | None = None  # SEQUENCE when they were offered because nothing ran

    @property
    def finished(self) -> bool:
        """Whether all jobs are done."""
        return bool(self.cluster.scalar[FINISHED] == self.cluster.scalar[JOBS])

    @property
    def slots(self) -> int:
        """Slots that are left."""
        return int(self.cluster.scalar[EXECUTORS])

    def next_ms(self) -> int | None:
        """When the next job arrives, or the next executor ends its move or task; None: neither is
        known.
        """
        scalar, job = self.cluster.scalar, self.cluster.job
        at_ms = int(self.cluster.executor[:, EVENT].min(initial=NEVER))
        if scalar[ARRIVED] < scalar[JOBS]:
            at_ms = min(at_ms, int(job[scalar[ARRIVED], ARRIVAL]))
        return at_ms if at_ms < NEVER else None

    def advance(self, now_ms: float) -> bool:
        """Let all happen that is to happen by now; True where a decision is due first."""
        scalar = self.cluster.scalar
        while True:
            # The round in which something was decided, or that an event has opened, comes first.
            if not self._go_on(int(scalar[NOW])):
                return True
            if scalar[SOURCE] != NOWHERE:
                continue
            if self._wake:
                scalar[SOURCE] = self._wake.pop()
                continue
            at_ms = self.next_ms()
            until = int(now_ms) if at_ms is None else min(at_ms, int(now_ms))
            if not self._go_on(max(int(scalar[NOW]), until)):
                return True
            if scalar[SOURCE] == NOWHERE and (at_ms is None or at_ms > now_ms):
                if not self._stalled():
                    return False
                self._wake = self._pools()

    def decide(self, stage: int, executors: int, now_ms: float) -> None:
        """Commit executors to a stage, or pass with stage -1. What starts by it starts now: time
        that the decision took is lost. Raises PolicyError for a stage that may not be chosen.
        """
        if not ENTRIES.decide(self.cluster, stage, executors):
            raise PolicyError(f"stage {stage} with {executors} executors: no candidate")
        self._decided_ms = now_ms

    def launches(self) -> list[Launch]:
        """The tasks that are to start, each told once."""
        found, self._launches = self._launches, []
        return found

    def ended(self, slot: int, at_ms: float, fetched_ms: float = 0.0) -> None:
        """The task of a slot has ended; its input took so long."""
        number = self._slot_of.index(slot)
        state = self.cluster.executor[number]
        if self._running.pop(slot, None) is not None:
            self.cluster.fetch[number, TOOK_MS] = fetched_ms
            state[EVENT] = max(int(at_ms), int(self.cluster.scalar[NOW]))

    def lose(self, slot: int) -> Launch | None:
        """A slot is gone for good. Its task, if it ran one, is to be run again elsewhere."""
        cluster, scalar = self.cluster, self.cluster.scalar
        number = self._slot_of.index(slot)
        state = cluster.executor[number]
        pool, target = int(state[POOL]), int(state[TARGET])
        lost = self._running.pop(slot, None)
        if lost is not None:
            self._again.setdefault(target, []).append(lost.task)
            self._undo_launch(target)
        elif pool == NOWHERE:  # on its way
            cluster.stage[target, MOVING] -= 1
            cluster.job[cluster.stage[target, JOB], SUPPLY] -= 1
        if state[AT_JOB] != NOWHERE:
            cluster.job[state[AT_JOB], [LOCAL, SUPPLY]] -= 1
        if pool != NOWHERE:
            cluster.pool[pool, SIZE] -= 1
            self._drop_commitments(pool)
        # The living come first: whoever looks at all executors looks at that many.
        last = int(scalar[EXECUTORS]) - 1
        cluster.executor[[number, last]] = cluster.executor[[last, number]]
        self._seen[[number, last]] = self._seen[[last, number]]
        self._slot_of[number] = self._slot_of[last]
        self._slot_of[last] = -1
        gone = cluster.executor[last]
        gone[[POOL, AT_JOB, TASK_OF, TARGET]] = NOWHERE
        gone[BUSY], gone[EVENT] = 0, NEVER
        scalar[EXECUTORS] = last
        self._lost = True
        self._wake = self._pools()
        return lost

    def times_ms(self, job: int) -> tuple[int, int | None]:
        """When a job arrives and when it was done, None before."""
        row = self.cluster.job[job]
        return int(row[ARRIVAL]), int(row[DONE]) if row[DONE] < NEVER else None

    def _go_on(self, until_ms: int) -> bool:
        """Let happen what happens until then; False where a decision is due first."""
        due = ENTRIES.open_round(self.cluster, until_ms)
        self._collect()
        return not due

    def _collect(self) -> None:
        """Note what executors have begun since the last time."""
        scalar, executor = self.cluster.scalar, self.cluster.executor
        start_ms = float(scalar[NOW]) if self._decided_ms is None else self._decided_ms
        self._decided_ms = None
        late_ms = max(0, int(start_ms) - int(scalar[NOW]))
        for number in np.flatnonzero(executor[:, EVENT_NUMBER] > self._seen).tolist():
            state = executor[number]
            self._seen[number] = state[EVENT_NUMBER]
            if state[BUSY]:
                compute_ms = int(state[EVENT] - state[STARTED])
                launch = self._launch(number, start_ms, compute_ms)
                self._launches.append(launch)
                self._running[launch.slot] = launch
                state[EVENT] = NEVER
            else:
                state[EVENT] += late_ms

    def _launch(self, number: int, start_ms: float, compute_ms: int) -> Launch:
        cluster = self.cluster
        row = int(cluster.executor[number, TARGET])
        kind, job = cluster.kind[cluster.stage[row, KIND]], int(cluster.stage[row, JOB])
        parents = cluster.flat[kind[PARENTS] : kind[PARENTS_END]]
        again = self._again.get(row)
        task = again.pop() if again else int(self._begun[row])
        self._begun[row] = max(self._begun[row], task + 1)
        return Launch(
            slot=self._slot_of[number],
            job=job,
            stage=row - int(cluster.job[job, FIRST]),
            task=task,
            start_ms=start_ms,
            compute_ms=compute_ms,
            input_bytes=int(kind[SHUFFLE_BYTES]),
            parents=tuple(int(parent) for parent in parents),
        )

    def _pools(self) -> list[int]:
        """The common pool, and those of the jobs in the cluster."""
        active = self.cluster.job[: self.cluster.scalar[ACTIVE], ACTIVE_JOB]
        return [0, *(1 + int(job) for job in active)]

    def _stalled(self) -> bool:
        """Whether all executors wait for stages whose parents nobody runs, as those who were on
        their way there are lost. Asked again only once something has begun since.
        """
        scalar = self.cluster.scalar
        if not self._lost or not scalar[ACTIVE] or self._woken == scalar[SEQUENCE]:
            return False
        executor = self.cluster.executor[: scalar[EXECUTORS]]
        if executor[:, BUSY].any() or (executor[:, EVENT] < NEVER).any():
            return False
        self._woken = int(scalar[SEQUENCE])
        return True

    def _undo_launch(self, stage: int) -> None:
        cluster = self.cluster
        row = cluster.stage[stage]
        row[RUNNING] -= 1
        if row[REMAINING] == 0:
            cluster.job[row[JOB], LAUNCHED_STAGES] -= 1
        row[REMAINING] += 1
        cluster.job[row[JOB], WORK] += cluster.kind[row[KIND], MEAN_MS]

    def _drop_commitments(self, pool: int) -> None:
        """Withdraw the newest promises of a pool that it has no executors for any more."""
        cluster, scalar, rows = self.cluster, self.cluster.scalar, self.cluster.commitment
        while cluster.pool[pool, COMMITTED_FROM] > cluster.pool[pool, SIZE]:
            own = np.flatnonzero(rows[: scalar[COMMITMENTS], FROM] == pool)
            at = int(own[-1])
            rows[at, COUNT] -= 1
            cluster.pool[pool, COMMITTED_FROM] -= 1
            target = int(rows[at, TO])
            if target > 0:
                stage = target - 1 - len(cluster.job)
                cluster.stage[stage, COMMITTED] -= 1
                job = int(cluster.stage[stage, JOB])
                if job != self._job_of_pool(pool):
                    cluster.job[job, SUPPLY] -= 1
            if rows[at, COUNT] == 0:
                scalar[COMMITMENTS] -= 1
                rows[at : scalar[COMMITMENTS]] = rows[at + 1 : scalar[COMMITMENTS] + 1]

    def _job_of_pool(self, pool: int) -> int:
        jobs = len(self.cluster.job)
        if pool <= 0:
            return NOWHERE
        return pool - 1 if pool <= jobs else int(self.cluster.stage[pool - 1 - jobs, JOB])
