"""The compiled loops that Python calls. What Numba keeps of them is renewed with any file of this
task.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba

from policy import compiled
from policy.compiled import inner
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.policies import cap, fair, fifo, graphene, random, sjf, weighted_fair
from policy.tasks.cjs.simulator import rounds
from policy.tasks.cjs.simulator.layout import Cluster
from policy.tasks.cjs.simulator.observe import Observation, observe

Function = TypeVar("Function", bound=Callable[..., Any])

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


class Entries(NamedTuple):
    """run(cluster, policy, parameters, until_ms): decide by a rule until then. open_round, decide:
    rounds.py.
    """

    run: Callable[[Cluster, int, FloatArray, int], bool]
    open_round: Callable[[Cluster, int], bool]
    decide: Callable[[Cluster, int, int], bool]
    choose: Callable[[Cluster, int, FloatArray], tuple[int, int]]
    observe: Callable[[Cluster, Observation], int]


def _sources() -> int:
    """A checksum of the code that is compiled together."""
    folder = Path(__file__).parents[1]
    files = [Path(compiled.__file__), *sorted(folder.rglob("*.py"))]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


def _entry(function: Function) -> Function:
    try:
        return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except (OSError, RuntimeError):  # no place to keep what was compiled
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


def _build(checksum: int) -> Entries:
    # Numba keeps a function by its own file; the checksum in its closure makes it see the other
    # files.
    def run(cluster: Cluster, policy: int, parameters: FloatArray, until_ms: int) -> bool:
        due = rounds.open_round(cluster, until_ms) and checksum >= 0
        while due:
            stage, count = choose(policy, parameters, cluster)
            rounds.decide(cluster, stage, count)
            due = rounds.open_round(cluster, until_ms)
        return due

    def open_round(cluster: Cluster, until_ms: int) -> bool:
        return rounds.open_round(cluster, until_ms) and checksum >= 0

    def decide(cluster: Cluster, stage: int, count: int) -> bool:
        return rounds.decide(cluster, stage, count) and checksum >= 0

    def choose_one(cluster: Cluster, policy: int, parameters: FloatArray) -> tuple[int, int]:
        stage, count = choose(policy, parameters, cluster)
        return stage, count + min(checksum, 0)

    def observe_one(cluster: Cluster, seen: Observation) -> int:
        return observe(cluster, seen) + min(checksum, 0)

    return Entries(
        _entry(run), _entry(open_round), _entry(decide), _entry(choose_one), _entry(observe_one)
    )


ENTRIES = _build(_sources())
