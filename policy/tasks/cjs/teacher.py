"""The rollout teacher: of the actions that good rules propose, the one whose roll-outs cost
least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policy.tasks.cjs.environment import ClusterEnvironment, may_pass
from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.policies.registry import RULES, RulePolicy
from policy.tasks.cjs.simulator.choose import CAP, WEIGHTED_FAIR
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import NOWHERE, Cluster, copy_cluster
from policy.tasks.cjs.simulator.rollout import Plan

PROPOSING = (
    *(RulePolicy(f"cap-{limit}", CAP, (limit, 1.0)) for limit in (6, 10, 16, 25, 40)),
    RulePolicy("cap-16-any", CAP, (16.0, 0.0)),
    RulePolicy("short-first", WEIGHTED_FAIR, (-0.5,)),
    RULES["fair"],
    RULES["sjf"],
)

PROPOSERS = (RULES["weighted-fair"], *PROPOSING)
"""The rules of the teacher as it is by default, the base first."""


@dataclass(frozen=True)
class Teacher:
    """``base`` goes on after each proposed action, for ``horizon_ms``, in so many ``futures``.

    With ``known`` the futures are the true one, task times and arrivals: a hindsight oracle, which
    no scheduler can be. ``spread``: executors of a job in the estimate of what is left then.
    """

    base: RulePolicy = RULES["weighted-fair"]
    proposing: tuple[RulePolicy, ...] = PROPOSING
    horizon_ms: int = 60_000
    futures: int = 4
    known: bool = False
    spread: float = 20.0
    seed: int = 1

    def plan(self) -> Plan:
        """The teacher as compiled loops take it."""
        rules = (self.base, *self.proposing)
        parameters = np.zeros((len(rules), 2))
        for row, rule in zip(parameters, rules, strict=True):
            row[: len(rule.parameters)] = rule.parameters
        futures = 1 if self.known else self.futures
        settings = np.array([self.horizon_ms, futures, self.seed, self.known], np.int64)
        return Plan(np.array([rule.number for rule in rules]), parameters, settings, self.spread)


class Rollouts:
    """A teacher at one cluster: holds the copy in which it plays."""

    def __init__(self, teacher: Teacher, cluster: Cluster) -> None:
        self._plan = teacher.plan()
        self._scratch = copy_cluster(cluster)
        rules = len(self._plan.rules)
        self._actions = np.zeros((rules, 2), np.int64)
        self._costs_s = np.zeros(rules)

    def costs_s(self, cluster: Cluster) -> tuple[IntArray, FloatArray]:
        """(stage, executors) [n, 2] of the actions proposed, stage -1 to pass, and their costs in
        job seconds [n]; 0 for the only one. The next call overwrites both.
        """
        count = ENTRIES.roll_out(cluster, self._scratch, self._plan, self._actions, self._costs_s)
        actions, costs_s = self._actions[:count], self._costs_s[:count]
        # Who passes at the very end, with nothing running, is never asked again.
        if count > 1 and not may_pass(cluster):
            chosen = actions[:, 0] != NOWHERE
            actions, costs_s = actions[chosen], costs_s[chosen]
        return actions, costs_s


def teach(
    environment: ClusterEnvironment,
    teacher: Teacher,
    visit: Callable[[IntArray, FloatArray], None] | None = None,
) -> IntArray:
    """Let the teacher decide to the end; completion times [jobs] in ms.

    ``visit`` is called before each decision with the actions and their costs.
    """
    environment.reset()
    rollouts = Rollouts(teacher, environment.cluster)
    done = False
    while not done:
        actions, costs_s = rollouts.costs_s(environment.cluster)
        if visit is not None:
            visit(actions, costs_s)
        stage, executors = actions[np.argmin(costs_s)]
        _, done = environment.step(int(stage), int(executors))
    return environment.completion_ms()
