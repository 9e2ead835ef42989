"""Shortest job first, its stage with the heaviest path to the end first (SJF-CP). No parameters."""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import critical_stage, shortest_job
from policy.tasks.cjs.simulator.executors import uncommitted
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import EXECUTORS, NOWHERE, Cluster


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    job = shortest_job(cluster, cluster.scalar[EXECUTORS])
    if job == NOWHERE:
        return NOWHERE, 0
    return critical_stage(cluster, job), uncommitted(cluster)
