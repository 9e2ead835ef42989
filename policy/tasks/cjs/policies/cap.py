"""Cap: the job with the least work left first, none with more than ``parameters[0]`` executors.

``parameters[1]`` is 1 if the source job keeps its executors while it has work for them.
"""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import keep_source, ready_stage, room, shortest_job
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import NOWHERE, Cluster


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    if parameters[1] > 0:
        stage, count = keep_source(cluster)
        if stage != NOWHERE:
            return stage, count
    limit = int(parameters[0])
    job = shortest_job(cluster, limit)
    if job == NOWHERE:
        return NOWHERE, 0
    return ready_stage(cluster, job), room(cluster, job, limit)
