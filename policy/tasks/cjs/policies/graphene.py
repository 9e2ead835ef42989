"""After Graphene (Grandl et al., OSDI 2016): troublesome stages are served first, in the shortest
job.

A stage is troublesome if its work is at least ``parameters[0]`` of the job's work at the start; a
stage that leads to one is served before those that do not. ``parameters[1]`` limits the executors
of a job. Graphene also packs several resources, which this cluster does not have.
"""

from __future__ import annotations

from policy.tasks.cjs.catalogue import MEAN_MS, PATH_MS, TASKS
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import room, shortest_job, source_job
from policy.tasks.cjs.simulator.executors import schedulable
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import END, FIRST, KIND, NOWHERE, Cluster


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    limit = int(parameters[1])
    job = shortest_job(cluster, limit)
    if job == NOWHERE:
        return NOWHERE, 0
    source = source_job(cluster)
    first, end = cluster.job[job, FIRST], cluster.job[job, END]
    total_ms = 0.0
    for stage in range(first, end):
        kind = cluster.stage[stage, KIND]
        total_ms += cluster.kind[kind, TASKS] * cluster.kind[kind, MEAN_MS]
    best, highest = NOWHERE, -1.0
    for stage in range(first, end):
        if schedulable(cluster, stage, source):
            kind = cluster.stage[stage, KIND]
            troublesome = (
                cluster.kind[kind, TASKS] * cluster.kind[kind, MEAN_MS] >= parameters[0] * total_ms
            )
            leads = cluster.kind[kind, PATH_MS] >= parameters[0] * total_ms
            score = cluster.kind[kind, PATH_MS] / total_ms + (
                2.0 if troublesome else 1.0 if leads else 0.0
            )
            if score > highest:
                best, highest = stage, score
    return best, room(cluster, job, limit)
