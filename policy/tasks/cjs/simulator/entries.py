"""The compiled loops that Python calls. What Numba keeps of them is renewed with any file that they
are compiled from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.simulator import rounds
from policy.tasks.cjs.simulator.choose import choose
from policy.tasks.cjs.simulator.durations import least_times
from policy.tasks.cjs.simulator.jit import entry
from policy.tasks.cjs.simulator.layout import Cluster
from policy.tasks.cjs.simulator.observe import Observation, observe
from policy.tasks.cjs.simulator.propose import propose
from policy.tasks.cjs.simulator.rollout import Plan, roll_out


class Entries(NamedTuple):
    """run(cluster, policy, parameters, until_ms) decides by a rule until then; the others are the
    functions of their name in rounds.py, choose.py, propose.py, observe.py, rollout.py and
    durations.py.
    """

    run: Callable[[Cluster, int, FloatArray, int], bool]
    open_round: Callable[[Cluster, int], bool]
    decide: Callable[[Cluster, int, int], bool]
    choose: Callable[[Cluster, int, FloatArray], tuple[int, int]]
    propose: Callable[[Cluster, IntArray, FloatArray, IntArray], int]
    observe: Callable[[Cluster, Observation], int]
    roll_out: Callable[[Cluster, Cluster, Plan, IntArray, FloatArray], int]
    least_times: Callable[[Cluster, IntArray], int]


def _sources() -> int:
    """A checksum of the code that is compiled together."""
    task = Path(__file__).parents[1]
    files = [task / "catalogue.py", task / "network.py", *sorted((task / "simulator").glob("*.py"))]
    files += [file for file in sorted((task / "policies").glob("*.py")) if file.stem != "registry"]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


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

    def propose_all(
        cluster: Cluster, rules: IntArray, parameters: FloatArray, actions: IntArray
    ) -> int:
        return propose(cluster, rules, parameters, actions) + min(checksum, 0)

    def observe_one(cluster: Cluster, seen: Observation) -> int:
        return observe(cluster, seen) + min(checksum, 0)

    def roll_out_all(
        cluster: Cluster, scratch: Cluster, plan: Plan, actions: IntArray, costs_s: FloatArray
    ) -> int:
        return roll_out(cluster, scratch, plan, actions, costs_s) + min(checksum, 0)

    def least(cluster: Cluster, times_ms: IntArray) -> int:
        return least_times(cluster, times_ms) + min(checksum, 0)

    return Entries(
        entry(run),
        entry(open_round),
        entry(decide),
        entry(choose_one),
        entry(propose_all),
        entry(observe_one),
        entry(roll_out_all),
        entry(least),
    )


ENTRIES = _build(_sources())
