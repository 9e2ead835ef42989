"""A cluster whose tasks first fetch their inputs over links, which transfers share equally.

The network as a fluid: of n transfers over a link each gets 1/n of its capacity at once (processor
sharing, what flows of equal round-trip time converge to on one bottleneck). A task computes when
its input is there, and keeps its executor meanwhile. Where a transfer ends between two ms of the
cluster's clock, its task begins at the first of them.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.cjs.catalogue import PARENTS, PARENTS_END, SHUFFLE_BYTES
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ARRIVAL,
    ARRIVED,
    CAPACITY,
    COMPUTE_MS,
    EVENT,
    FIRST,
    JOB,
    JOBS,
    KIND,
    LEFT_BYTES,
    NETWORK_MS,
    NEVER,
    OVER,
    RECENT_BYTES,
    RECENT_MS,
    STARTED,
    TOOK_MS,
    TRANSFERS,
    Cluster,
)

_LEAST_BYTES = 1e-6
# Of the running sums by which transfers are judged, for each task that ends.
_KEPT = 0.95


@inner
def begin_fetch(cluster: Cluster, executor: int, stage: int, task_ms: int) -> bool:
    """Let a task that starts now fetch its input first; False if it has nothing to wait for."""
    fetch = cluster.fetch[executor]
    fetch[TOOK_MS] = 0
    kind = cluster.kind[cluster.stage[stage, KIND]]
    if not len(cluster.link) or not kind[SHUFFLE_BYTES]:
        return False
    base = cluster.job[cluster.stage[stage, JOB], FIRST]
    worker = worker_of(cluster, executor)
    link, share = -1, 0.0
    for at in range(kind[PARENTS], kind[PARENTS_END]):
        outputs = cluster.output[base + cluster.flat[at]]
        total, crossing = 0, 0
        for source in range(len(outputs)):
            total += outputs[source]
            if cluster.path[source, worker] >= 0:
                crossing += outputs[source]
                link = cluster.path[source, worker]
        share += crossing / total / (kind[PARENTS_END] - kind[PARENTS])
    if link < 0 or share <= 0:
        return False
    fetch[LEFT_BYTES], fetch[OVER] = share * kind[SHUFFLE_BYTES], link
    fetch[COMPUTE_MS] = task_ms
    return True


@inner
def worker_of(cluster: Cluster, executor: int) -> int:
    """The worker that an executor belongs to."""
    return int(executor * len(cluster.path) // len(cluster.executor))


@inner
def deliver(cluster: Cluster, until_ms: int) -> None:
    """Let transfers go on until the cluster's next event or that time."""
    if not len(cluster.link):
        return
    clock = cluster.transfer
    while True:
        at_ms = min(_next_event_ms(cluster), until_ms)
        step_ms = _first_end_ms(cluster)
        if clock[NETWORK_MS] + step_ms > at_ms or step_ms >= NEVER:
            if at_ms < NEVER:
                _go_on(cluster, max(0.0, at_ms - clock[NETWORK_MS]))
                clock[NETWORK_MS] = max(clock[NETWORK_MS], at_ms)
            return
        clock[NETWORK_MS] += step_ms
        _end_first(cluster, step_ms)


@inner
def note_end(cluster: Cluster, executor: int, stage: int) -> None:
    """A task has ended: remember where its output lies, and how long its input took."""
    cluster.output[stage, worker_of(cluster, executor)] += 1
    kind = cluster.kind[cluster.stage[stage, KIND]]
    if kind[SHUFFLE_BYTES] and kind[PARENTS] < kind[PARENTS_END]:
        recent = cluster.transfer
        recent[RECENT_MS] = _KEPT * recent[RECENT_MS] + cluster.fetch[executor, TOOK_MS]
        recent[RECENT_BYTES] = _KEPT * recent[RECENT_BYTES] + kind[SHUFFLE_BYTES]


@inner
def fetch_ms(cluster: Cluster, kind: int) -> float:
    """How long the input of a task of this kind takes, at the rate of the tasks that have ended
    lately.
    """
    row, recent = cluster.kind[kind], cluster.transfer
    if recent[RECENT_BYTES] <= 0 or row[PARENTS] >= row[PARENTS_END]:
        return 0.0
    return float(row[SHUFFLE_BYTES] * recent[RECENT_MS] / recent[RECENT_BYTES])


@inner
def _next_event_ms(cluster: Cluster) -> int:
    scalar, at_ms = cluster.scalar, NEVER
    if scalar[ARRIVED] < scalar[JOBS]:
        at_ms = cluster.job[scalar[ARRIVED], ARRIVAL]
    for executor in range(len(cluster.executor)):
        at_ms = min(at_ms, cluster.executor[executor, EVENT])
    return int(at_ms)


@inner
def _rest_ms(cluster: Cluster, executor: int) -> float:
    """Until the executor's transfer ends, if none begins or ends before."""
    fetch = cluster.fetch[executor]
    link = cluster.link[int(fetch[OVER])]
    return float(fetch[LEFT_BYTES] * link[TRANSFERS] / link[CAPACITY])


@inner
def _first_end_ms(cluster: Cluster) -> float:
    """In how many ms the first transfer ends if none begins; infinite without any."""
    for link in range(len(cluster.link)):
        cluster.link[link, TRANSFERS] = 0
    for executor in range(len(cluster.fetch)):
        if cluster.fetch[executor, LEFT_BYTES] > 0:
            cluster.link[int(cluster.fetch[executor, OVER]), TRANSFERS] += 1
    least = np.inf
    for executor in range(len(cluster.fetch)):
        if cluster.fetch[executor, LEFT_BYTES] > 0:
            least = min(least, _rest_ms(cluster, executor))
    return float(least)


@inner
def _end_first(cluster: Cluster, step_ms: float) -> None:
    now_ms = int(cluster.transfer[NETWORK_MS])
    for executor in range(len(cluster.fetch)):
        fetch, state = cluster.fetch[executor], cluster.executor[executor]
        if fetch[LEFT_BYTES] <= 0:
            continue
        if _rest_ms(cluster, executor) <= step_ms:
            fetch[LEFT_BYTES] = 0
            fetch[TOOK_MS] = now_ms - state[STARTED]
            state[STARTED] = now_ms
            state[EVENT] = now_ms + int(fetch[COMPUTE_MS])
        else:
            _move(cluster, executor, step_ms)


@inner
def _go_on(cluster: Cluster, elapsed_ms: float) -> None:
    """Let time pass before the first transfer ends."""
    for executor in range(len(cluster.fetch)):
        if cluster.fetch[executor, LEFT_BYTES] > 0:
            _move(cluster, executor, elapsed_ms)


@inner
def _move(cluster: Cluster, executor: int, elapsed_ms: float) -> None:
    fetch = cluster.fetch[executor]
    link = cluster.link[int(fetch[OVER])]
    moved = elapsed_ms * link[CAPACITY] / link[TRANSFERS]
    # Rounding must not end it here.
    fetch[LEFT_BYTES] = max(fetch[LEFT_BYTES] - moved, _LEAST_BYTES)
