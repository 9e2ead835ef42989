"""Roll-outs: what the actions that several rules propose would cost, each followed by a base rule.

A roll-out plays in a copy of the cluster with task times and arrivals that are drawn anew, so that
nothing is known that a scheduler could not know. All actions of a decision are played in the same
futures (common random numbers). Bertsekas, Tsitsiklis and Wu, "Rollout algorithms for combinatorial
optimization", J. Heuristics 3, 1997; several rules propose as in parallel rollout (Chang, Givan and
Chong, Discrete Event Dynamic Systems 14, 2004).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.simulator import rounds
from policy.tasks.cjs.simulator.choose import choose
from policy.tasks.cjs.simulator.durations import redraw_running, uniform
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    ARRIVAL,
    ARRIVED,
    DECISIONS,
    END,
    EXECUTORS,
    FIRST,
    JOB,
    JOB_TIME,
    JOBS,
    NOW,
    WORK,
    Cluster,
)
from policy.tasks.cjs.simulator.propose import propose

Rows = TypeVar("Rows", IntArray, FloatArray)


class Plan(NamedTuple):
    """Rules by number and parameters [rules, 2]: the first goes on after an action, all propose.

    settings: horizon in ms, futures, seed, and 1 if the true task times and arrivals are known.
    spread: executors that a job has in the estimate of what is left at the horizon.
    """

    rules: IntArray
    parameters: FloatArray
    settings: IntArray
    spread: float


@inner
def roll_out(
    cluster: Cluster, scratch: Cluster, plan: Plan, actions: IntArray, costs_s: FloatArray
) -> int:
    """Fill ``actions`` [rules, 2] with the different (stage, executors) proposed, the base rule's
    first, and ``costs_s`` [rules] with their mean costs in job seconds; returns how many.
    """
    count = _propose(cluster, plan, actions)
    for at in range(count):
        costs_s[at] = 0
    if count < 2:
        return count
    horizon_ms, futures, seed, known = plan.settings
    until_ms = cluster.scalar[NOW] + horizon_ms
    for future in range(futures):
        for at in range(count):
            _copy(cluster, scratch, until_ms)
            if not known:
                _imagine(cluster, scratch, until_ms, seed, future)
            rounds.decide(scratch, actions[at, 0], actions[at, 1])
            due = rounds.open_round(scratch, until_ms)
            while due:
                stage, executors = choose(plan.rules[0], plan.parameters[0], scratch)
                rounds.decide(scratch, stage, executors)
                due = rounds.open_round(scratch, until_ms)
            past_s = (scratch.scalar[JOB_TIME] - cluster.scalar[JOB_TIME]) / 1e3
            costs_s[at] += (past_s + _left_s(scratch, plan.spread)) / futures
    return count


@inner
def _propose(cluster: Cluster, plan: Plan, actions: IntArray) -> int:
    """The different proposals, in the order of the rules that are first to make them."""
    proposed = propose(cluster, plan.rules, plan.parameters, actions)
    count = 0
    for number in range(proposed):
        stage, executors = actions[number]
        known = False
        for at in range(count):
            known = known or (actions[at, 0] == stage and actions[at, 1] == executors)
        if not known:
            actions[count, 0], actions[count, 1] = stage, executors
            count += 1
    return count


@inner
def _left_s(cluster: Cluster, spread: float) -> float:
    """Estimate of the time that the jobs still at hand will take, the shortest first: each on
    ``spread`` executors, after the work before it on all of them.
    """
    total_ms = 0.0
    active = cluster.scalar[ACTIVE]
    for one in range(active):
        work = max(0, cluster.job[cluster.job[one, ACTIVE_JOB], WORK])
        total_ms += work / spread
        for two in range(one):
            other = max(0, cluster.job[cluster.job[two, ACTIVE_JOB], WORK])
            total_ms += min(work, other) / cluster.scalar[EXECUTORS]
    return total_ms / 1e3


@inner
def _copy(cluster: Cluster, scratch: Cluster, until_ms: int) -> None:
    """The state of ``cluster`` in ``scratch``, as far as it matters from now on."""
    for at in range(len(cluster.scalar)):
        scratch.scalar[at] = cluster.scalar[at]
    _copy_rows(cluster.executor, scratch.executor, 0, len(cluster.executor))
    _copy_rows(cluster.fetch, scratch.fetch, 0, len(cluster.fetch))
    for at in range(len(cluster.transfer)):
        scratch.transfer[at] = cluster.transfer[at]
    _copy_rows(cluster.commitment, scratch.commitment, 0, len(cluster.commitment))
    _copy_rows(cluster.job, scratch.job, 0, len(cluster.job))
    _copy_rows(cluster.pool, scratch.pool, 0, 1 + len(cluster.job))
    # Those of finished jobs too: executors may still be in their pools, or look there for work.
    for job in range(cluster.scalar[ARRIVED]):
        _copy_stages(cluster, scratch, job)
    # Of jobs that may arrive in the roll-out, what the one before left behind is undone.
    for job in range(cluster.scalar[ARRIVED], cluster.scalar[JOBS]):
        if cluster.job[job, ARRIVAL] > until_ms:
            break
        _copy_stages(cluster, scratch, job)


@inner
def _copy_rows(source: Rows, target: Rows, first: int, end: int) -> None:
    for row in range(first, end):
        for column in range(source.shape[1]):
            target[row, column] = source[row, column]


@inner
def _copy_stages(cluster: Cluster, scratch: Cluster, job: int) -> None:
    first, end = cluster.job[job, FIRST], cluster.job[job, END]
    _copy_rows(cluster.stage, scratch.stage, first, end)
    _copy_rows(cluster.output, scratch.output, first, end)
    pool = 1 + len(cluster.job)
    _copy_rows(cluster.pool, scratch.pool, pool + first, pool + end)


@inner
def _imagine(cluster: Cluster, scratch: Cluster, until_ms: int, seed: int, future: int) -> None:
    """Draw task times and arrivals of ``scratch`` anew: the spare jobs come, from a random one
    on.
    """
    decision = cluster.scalar[DECISIONS]
    redraw_running(scratch, int(uniform(seed, decision, future, 5) * 2.0**62))
    arrived, jobs = cluster.scalar[ARRIVED], cluster.scalar[JOBS]
    spare = len(cluster.job) - jobs
    begin = int(uniform(seed, decision, future, 6) * spare)
    at_ms, row = cluster.scalar[NOW], arrived
    for number in range(min(spare, len(cluster.job) - arrived)):
        source = jobs + (begin + number) % spare
        at_ms += cluster.job[source, ARRIVAL]
        if at_ms > until_ms:
            break
        # Rows from ACTIVE on do not hold an active job yet, so a whole row may be copied.
        for column in range(cluster.job.shape[1]):
            scratch.job[row, column] = cluster.job[source, column]
        scratch.job[row, ARRIVAL] = at_ms
        _copy_stages(cluster, scratch, source)
        for stage in range(cluster.job[source, FIRST], cluster.job[source, END]):
            scratch.stage[stage, JOB] = row
        row += 1
    scratch.scalar[JOBS] = row
