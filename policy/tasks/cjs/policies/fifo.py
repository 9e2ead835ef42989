"""FIFO: the oldest job first. ``parameters[0]`` is the share of the cluster that a job may have.

With a share of 1 it is the FIFO of Spark; with 0.5 what the NetLLM paper calls FIFO.
"""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies.common import in_order_of_arrival
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import EXECUTORS, Cluster


@inner
def choose(cluster: Cluster, parameters: FloatArray) -> tuple[int, int]:
    """Stage and number of executors; (NOWHERE, 0) passes."""
    return in_order_of_arrival(cluster, max(1, int(cluster.scalar[EXECUTORS] * parameters[0])))
