"""What a decision transformer is conditioned on: how little time jobs spend in the cluster over the
next minutes, against Fair from the same state.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.cjs.policies.registry import RULES
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import ARRIVAL, DONE, JOBS, NOW, Cluster, copy_cluster

HORIZON_MS = 300_000
_WORST = -4.0


def job_time_ms(cluster: Cluster, from_ms: int) -> int:
    """Time that jobs spend in the cluster in the HORIZON_MS from then on, which it has played."""
    job = cluster.job[: cluster.scalar[JOBS]]
    until_ms = from_ms + HORIZON_MS
    spent = np.minimum(job[:, DONE], until_ms) - np.maximum(job[:, ARRIVAL], from_ms)
    return int(np.maximum(0, spent).sum())


def fair_job_time_ms(cluster: Cluster) -> int:
    """The same of Fair from now on, with the task times and arrivals that are to come."""
    now_ms, fair = int(cluster.scalar[NOW]), RULES["fair"]
    scratch = copy_cluster(cluster)
    ENTRIES.run(scratch, fair.number, fair.array(), now_ms + HORIZON_MS)
    return job_time_ms(scratch, now_ms)


def return_to_go(own_ms: int, fair_ms: int) -> float:
    """-1 is as good as Fair, more is better; at least -4."""
    return max(_WORST, -own_ms / max(1, fair_ms))
