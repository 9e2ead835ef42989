"""Who schedules: a rule or roll-outs in the master, or the policy server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import grpc
import numpy as np

from policy.protocol.clusters import request_of
from policy.tasks.base import Arrays
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import agreed, inputs_at
from policy.tasks.cjs.live import LiveCluster
from policy.tasks.cjs.policies.registry import rule
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import ACTIVE
from policy.tasks.cjs.teacher import Rollouts, Teacher
from testbed.traffic.ask import Refusals, connect
from testbed.traffic.scheduler import TEACHER, asked_of_server

_HEADROOM_S = 0.005  # of the deadline: for the fallback and the way back from the RPC


@dataclass(frozen=True)
class Decision:
    """Stage (-1 passes) and executors; who chose (rule, teacher, policy, simple or fallback), and
    how long that took.
    """

    stage: int
    executors: int
    source: str
    elapsed_ns: int


class Decider(Protocol):
    """Decides for one cluster."""

    def choose(self, environment: ClusterEnvironment) -> Decision: ...

    def close(self) -> None: ...


class Rule:
    """A rule in the master."""

    def __init__(self, name: str, source: str = "rule") -> None:
        found = rule(name)
        self._number, self._parameters, self._source = found.number, found.array(), source

    def choose(self, environment: ClusterEnvironment) -> Decision:
        began_ns = time.monotonic_ns()
        stage, executors = ENTRIES.choose(environment.cluster, self._number, self._parameters)
        return Decision(stage, executors, self._source, time.monotonic_ns() - began_ns)

    def close(self) -> None:
        """Nothing to end."""


class RolloutTeacher:
    """Roll-outs in the master. They imagine task times and arrivals; they know no future."""

    def __init__(self) -> None:
        self._rollouts: Rollouts | None = None

    def choose(self, environment: ClusterEnvironment) -> Decision:
        began_ns = time.monotonic_ns()
        if self._rollouts is None:
            self._rollouts = Rollouts(Teacher(), environment.cluster)
        actions, costs_s = self._rollouts.costs_s(environment.cluster)
        stage, executors = actions[np.argmin(costs_s)].tolist()
        return Decision(stage, executors, "teacher", time.monotonic_ns() - began_ns)

    def close(self) -> None:
        """Nothing to end."""


class Served:
    """A policy on the server; where no valid answer comes in time, the fallback rule's. Simple
    cases are not asked: what all rules propose alike is done, and one job or one candidate is left
    to a rule.
    """

    def __init__(
        self, policy: str, address: str, *, deadline_ms: float, fallback: str, simple: str
    ) -> None:
        """Connects; a server that does not answer yet is asked again at every decision. `fallback`
        and `simple` are rules; an empty `simple` leaves those cases to the policy.
        """
        self._policy = policy
        self._deadline_s = deadline_ms / 1000
        self._fallback = Rule(fallback, "fallback")
        self._simple = Rule(simple, "simple") if simple else None
        self._channel, self._stub = connect(address)
        self._refusals = Refusals()

    def choose(self, environment: ClusterEnvironment) -> Decision:
        began_ns = time.monotonic_ns()
        if self._simple is not None and (alike := agreed(environment)) is not None:
            return Decision(*alike, "simple", time.monotonic_ns() - began_ns)
        inputs = inputs_at(environment)
        if self._simple is not None and is_simple(environment, inputs):
            return self._simple.choose(environment)
        answer = self._ask(inputs)
        if answer is not None:
            return Decision(*answer, "policy", time.monotonic_ns() - began_ns)
        instead = self._fallback.choose(environment)
        elapsed_ns = time.monotonic_ns() - began_ns
        return Decision(instead.stage, instead.executors, "fallback", elapsed_ns)

    def _ask(self, inputs: Arrays) -> tuple[int, int] | None:
        timeout_s = max(self._deadline_s - _HEADROOM_S, self._deadline_s / 2)
        try:
            answer = self._stub.Schedule(request_of(inputs, self._policy), timeout=timeout_s)
        except grpc.RpcError as error:
            self._refusals.tell(error)
            return None
        allowed = inputs["stage_number"][inputs["exists"] > 0]
        stage, executors = int(answer.stage), int(answer.executors)
        valid = stage in allowed and (executors > 0 or stage < 0)
        return (stage, executors) if valid else None

    def close(self) -> None:
        """End the connection."""
        self._channel.close()


def is_simple(environment: ClusterEnvironment, inputs: Arrays) -> bool:
    """Whether there is one job, or one candidate besides passing."""
    jobs = int(environment.cluster.scalar[ACTIVE])
    return jobs <= 1 or int((inputs["stage_number"] >= 0).sum()) <= 1


def rehearse(scheduler: str, environment: ClusterEnvironment) -> None:
    """Decide once in a cluster before its first job, so that all is compiled before the clock
    runs.
    """
    live = LiveCluster(environment)
    if live.advance(0.0):
        if asked_of_server(scheduler) is not None:
            inputs_at(environment)
            agreed(environment)
        chooser = RolloutTeacher() if scheduler == TEACHER else Rule("fair")
        decision = chooser.choose(environment)
        live.decide(decision.stage, decision.executors, 0.0)
        live.advance(0.0)
