"""Weighted fair: executors in proportion to (work left) ** ``parameters[0]`` (Mao et al., SIGCOMM
2019).

An exponent of 0 is Fair, 1 proportional to the work, below 0 for short jobs first.
"""

from __future__ import annotations

import math

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import keep_source, ready_stage, source_job
from policy.tasks.cjs.simulator.executors import uncommitted
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    EXECUTORS,
    NOWHERE,
    SUPPLY,
    WORK,
    Cluster,
)


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    stage, count = keep_source(cluster)
    if stage != NOWHERE:
        return stage, count
    total = 0.0
    for at in range(cluster.scalar[ACTIVE]):
        total += max(1.0, cluster.job[cluster.job[at, ACTIVE_JOB], WORK] / 1e3) ** parameters[0]
    source = source_job(cluster)
    best, chosen, widest = NOWHERE, 0, 0
    for at in range(cluster.scalar[ACTIVE]):
        job = cluster.job[at, ACTIVE_JOB]
        weight = max(1.0, cluster.job[job, WORK] / 1e3) ** parameters[0]
        lacks = math.ceil(cluster.scalar[EXECUTORS] * weight / total) - cluster.job[job, SUPPLY]
        if lacks > widest and job != source:
            stage = ready_stage(cluster, job)
            if stage != NOWHERE:
                best, chosen, widest = job, stage, lacks
    if best == NOWHERE:
        return NOWHERE, 0
    return chosen, min(widest, uncommitted(cluster))
