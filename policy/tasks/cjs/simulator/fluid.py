"""A cluster whose tasks first fetch their inputs over one link, which all transfers share equally.

The network as a fluid: of n transfers each gets 1/n of the capacity at once (processor sharing,
what flows of equal round-trip time converge to on one bottleneck). A task computes when its input
is there, and keeps its executor meanwhile. Where a transfer ends between two ms of the cluster's
clock, its task begins at the first of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from policy.tasks.cjs.catalogue import PARENTS, PARENTS_END, SHUFFLE_BYTES
from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.simulator import rounds
from policy.tasks.cjs.simulator.choose import choose
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    ARRIVAL,
    ARRIVED,
    BUSY,
    EVENT,
    EVENT_NUMBER,
    FINISHED,
    JOBS,
    KIND,
    NEVER,
    STARTED,
    TARGET,
    Cluster,
)

_LEAST_BYTES = 1e-6


class Transfers(NamedTuple):
    """The link's capacity, 0 for inputs that take no time, and for each executor the bytes that its
    task still fetches, the ms that it computes then, and the number of what it has begun last.
    """

    bytes_per_ms: float
    left: FloatArray
    compute_ms: IntArray
    seen: IntArray


def new_transfers(executors: int, bytes_per_ms: float) -> Transfers:
    """None has begun."""
    numbers = (np.zeros(executors, np.int64) for _ in range(2))
    return Transfers(bytes_per_ms, np.zeros(executors), *numbers)


@inner
def run_over_link(
    cluster: Cluster, policy: int, parameters: FloatArray, transfers: Transfers
) -> None:
    """Let a rule decide to the end, or until nothing can happen any more."""
    scalar, now_ms = cluster.scalar, 0.0
    while True:
        due = rounds.open_round(cluster, int(now_ms))
        while due:
            stage, count = choose(policy, parameters, cluster)
            rounds.decide(cluster, stage, count)
            due = rounds.open_round(cluster, int(now_ms))
        _begin(cluster, transfers)
        if scalar[FINISHED] == scalar[JOBS]:
            return
        at_ms = float(_next_event_ms(cluster))
        end_ms = now_ms + _first_end_ms(transfers)
        if min(at_ms, end_ms) >= NEVER:
            return
        if end_ms <= at_ms:
            _end_first(cluster, transfers, int(end_ms))
            now_ms = end_ms
        else:
            _go_on(transfers, at_ms - now_ms)
            now_ms = max(now_ms, at_ms)


@inner
def _begin(cluster: Cluster, transfers: Transfers) -> None:
    """Of tasks that have started since the last time, begin the transfers."""
    for executor in range(len(cluster.executor)):
        state = cluster.executor[executor]
        if state[EVENT_NUMBER] <= transfers.seen[executor]:
            continue
        transfers.seen[executor] = state[EVENT_NUMBER]
        kind = cluster.kind[cluster.stage[state[TARGET], KIND]]
        if state[BUSY] and kind[SHUFFLE_BYTES] > 0 and kind[PARENTS] < kind[PARENTS_END]:
            transfers.left[executor] = kind[SHUFFLE_BYTES]
            transfers.compute_ms[executor] = state[EVENT] - state[STARTED]
            state[EVENT] = NEVER


@inner
def _next_event_ms(cluster: Cluster) -> int:
    scalar, at_ms = cluster.scalar, NEVER
    if scalar[ARRIVED] < scalar[JOBS]:
        at_ms = cluster.job[scalar[ARRIVED], ARRIVAL]
    for executor in range(len(cluster.executor)):
        at_ms = min(at_ms, cluster.executor[executor, EVENT])
    return int(at_ms)


@inner
def _least(transfers: Transfers) -> tuple[int, float]:
    """How many transfers there are, and the fewest bytes that one of them has left."""
    count, least = 0, np.inf
    for left in transfers.left:
        if left > 0:
            count += 1
            least = min(least, left)
    return count, least


@inner
def _first_end_ms(transfers: Transfers) -> float:
    """In how many ms the first transfer ends if none begins; infinite without any."""
    count, least = _least(transfers)
    return float(least * max(1, count) / transfers.bytes_per_ms)


@inner
def _end_first(cluster: Cluster, transfers: Transfers, now_ms: int) -> None:
    _, least = _least(transfers)
    for executor in range(len(transfers.left)):
        if transfers.left[executor] > 0:
            transfers.left[executor] -= least
            if transfers.left[executor] <= 0:
                cluster.executor[executor, EVENT] = now_ms + transfers.compute_ms[executor]


@inner
def _go_on(transfers: Transfers, elapsed_ms: float) -> None:
    """Let time pass before the first transfer ends."""
    count, _ = _least(transfers)
    for executor in range(len(transfers.left)):
        left = transfers.left[executor]
        if left > 0:
            moved = max(0.0, elapsed_ms) * transfers.bytes_per_ms / count
            # Rounding must not end it here.
            transfers.left[executor] = max(left - moved, _LEAST_BYTES)
