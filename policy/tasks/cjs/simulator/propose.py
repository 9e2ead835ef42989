"""What several rules would do in the same state."""

from __future__ import annotations

from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.simulator.choose import choose
from policy.tasks.cjs.simulator.executors import demand, uncommitted
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import NOWHERE, Cluster


@inner
def propose(cluster: Cluster, rules: IntArray, parameters: FloatArray, actions: IntArray) -> int:
    """Fill ``actions`` [rules, 2] with (stage, executors) of each rule, clipped to what the stage
    takes and the source has; (NOWHERE, 0) passes. Returns their number.
    """
    for number in range(len(rules)):
        stage, executors = choose(rules[number], parameters[number], cluster)
        if stage != NOWHERE:
            executors = min(executors, demand(cluster, stage), uncommitted(cluster))
        else:
            executors = 0
        actions[number, 0], actions[number, 1] = stage, executors
    return len(rules)
