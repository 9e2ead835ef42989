"""Fair: every job may have the same number of executors, rounded up. No parameters."""

from __future__ import annotations

import math

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import in_order_of_arrival
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import ACTIVE, EXECUTORS, Cluster


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    return in_order_of_arrival(
        cluster, math.ceil(cluster.scalar[EXECUTORS] / max(1, cluster.scalar[ACTIVE]))
    )
