"""The rule policies by number, as compiled loops call them."""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies import cap, fair, fifo, graphene, random, sjf, weighted_fair
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import Cluster

FIFO, FAIR, CAP, WEIGHTED_FAIR, SJF, GRAPHENE, RANDOM = range(7)


@inner
def choose(policy: int, parameters: FloatArray, cluster: Cluster) -> tuple[int, int]:
    """The decision of the rule policy of this number."""
    if policy == FIFO:
        return fifo.choose(cluster, parameters)
    if policy == FAIR:
        return fair.choose(cluster, parameters)
    if policy == CAP:
        return cap.choose(cluster, parameters)
    if policy == WEIGHTED_FAIR:
        return weighted_fair.choose(cluster, parameters)
    if policy == SJF:
        return sjf.choose(cluster, parameters)
    if policy == GRAPHENE:
        return graphene.choose(cluster, parameters)
    return random.choose(cluster, parameters)
