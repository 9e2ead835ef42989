"""Random: any schedulable stage, any number of executors. ``parameters[0]`` is the seed."""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import source_job
from policy.tasks.cjs.simulator.durations import uniform
from policy.tasks.cjs.simulator.executors import schedulable, uncommitted
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ACTIVE,
    ACTIVE_JOB,
    DECISIONS,
    END,
    FIRST,
    NOWHERE,
    Cluster,
)


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    seed, decision = int(parameters[0]), cluster.scalar[DECISIONS]
    source = source_job(cluster)
    chosen, seen = NOWHERE, 0
    for at in range(cluster.scalar[ACTIVE]):
        job = cluster.job[at, ACTIVE_JOB]
        for stage in range(cluster.job[job, FIRST], cluster.job[job, END]):
            if schedulable(cluster, stage, source):
                seen += 1
                if uniform(seed, decision, seen, 3) * seen < 1:
                    chosen = stage
    count = 1 + int(uniform(seed, decision, 0, 4) * uncommitted(cluster))
    return chosen, count
