"""Many clusters in lockstep, in one process or several: what a model trained by its own returns
plays in.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np

from policy.tasks.base import Arrays
from policy.tasks.cjs.actions import decoded
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import CLASSES, agreed, class_of, inputs_at, stacked
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.policies.registry import RULES, RulePolicy
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import ARRIVAL, NEVER
from policy.tasks.cjs.workload import Workload

_SEQUENCES = 1_000
"""Of one process: seeds of others begin beyond them."""


@dataclass(frozen=True)
class Lockstep:
    """So many clusters, which take the workloads in turn, with sequences of so many jobs. alone:
    states in which all rules agree are not shown, what they propose is done.
    """

    loads: Sequence[Workload]
    clusters: int
    jobs: int
    seed: int = 0
    alone: bool = False


class Clusters:
    """A cluster that has finished begins another sequence."""

    def __init__(self, how: Lockstep) -> None:
        self._how = how
        self._next = how.seed * _SEQUENCES
        # They are begun at random times, so that not all end at once.
        random = np.random.default_rng(how.seed)
        self._environments = [self._begun(random) for _ in range(how.clusters)]
        self._samples = [inputs_at(environment) for environment in self._environments]

    def observe(self) -> Arrays:
        """A batch of what is to be decided now."""
        return stacked(self._samples)

    def step(self, places: IntArray) -> tuple[Arrays, Arrays]:
        """Take the actions at these places of the flattened output; `reward` [n] in s and whether
        an episode `ended` [n], and the next observations.
        """
        batch = self.observe()
        action = decoded(places, batch["stage_number"], batch["proposed"])
        reward, ended = np.zeros(len(places), np.float32), np.zeros(len(places), np.float32)
        for number, environment in enumerate(self._environments):
            stage, executors = int(action["stage"][number]), int(action["executors"][number])
            reward[number], ended[number] = self._go(environment, stage, executors)
            if ended[number]:
                self._environments[number] = self._fresh()
            self._samples[number] = inputs_at(self._environments[number])
        return {"reward": reward, "ended": ended}, self.observe()

    def advice(self, rule: RulePolicy) -> IntArray:
        """What a rule would do, as places in the flattened output."""
        places = np.zeros(len(self._environments), np.int64)
        for number, environment in enumerate(self._environments):
            stage, executors = ENTRIES.choose(environment.cluster, rule.number, rule.array())
            slots = np.flatnonzero(self._samples[number]["stage_number"] == stage)
            if stage >= 0 and len(slots):
                places[number] = slots[0] * len(CLASSES) + class_of(executors)
            elif not self._samples[number]["exists"][0]:
                places[number] = len(CLASSES)
        return places

    def _go(
        self, environment: ClusterEnvironment, stage: int, executors: int
    ) -> tuple[float, bool]:
        reward, done = environment.step(stage, executors)
        while self._how.alone and not done and (action := agreed(environment)) is not None:
            more, done = environment.step(*action)
            reward += more
        return reward, done

    def _fresh(self) -> ClusterEnvironment:
        while True:
            load = self._how.loads[self._next % len(self._how.loads)]
            self._next += 1
            environment = load.environment(self._next, self._how.jobs)
            environment.reset()
            if self._undecided(environment):
                return environment

    def _begun(self, random: np.random.Generator) -> ClusterEnvironment:
        environment, rule = self._fresh(), RULES["fair"]
        last_ms = int(environment.cluster.job[: self._how.jobs, ARRIVAL].max())
        until_ms = int(random.integers(last_ms + 1))
        ENTRIES.run(environment.cluster, rule.number, rule.array(), until_ms)
        due = ENTRIES.open_round(environment.cluster, NEVER) and self._undecided(environment)
        return environment if due else self._fresh()

    def _undecided(self, environment: ClusterEnvironment) -> bool:
        """Whether there is something to show before the episode's end."""
        action = agreed(environment) if self._how.alone else None
        return action is None or not self._go(environment, *action)[1]


class ClusterProcesses:
    """`Clusters` in processes of their own, seeds apart; leave the context to end them."""

    def __init__(self, how: Sequence[Lockstep]) -> None:
        self._how = how
        self._pipes: list[Connection] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for one in self._how:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, one), daemon=True)
            process.start()
            theirs.close()
            self._open.callback(process.join)
            self._open.callback(pipe.close)
            self._pipes.append(pipe)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def observe(self) -> Arrays:
        """As `Clusters.observe`, of all."""
        return _joined(self._ask([("observe", ())] * len(self._pipes)))

    def step(self, places: IntArray) -> tuple[Arrays, Arrays]:
        """As `Clusters.step`."""
        ends = np.cumsum([one.clusters for one in self._how])[:-1]
        answers = self._ask([("step", (part,)) for part in np.split(places, ends)])
        return _joined([one for one, _ in answers]), _joined([two for _, two in answers])

    def advice(self, rule: RulePolicy) -> IntArray:
        """As `Clusters.advice`."""
        return np.concatenate(self._ask([("advice", (rule,))] * len(self._pipes)))

    def _ask(self, questions: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        for pipe, question in zip(self._pipes, questions, strict=True):
            pipe.send(question)
        return [pipe.recv() for pipe in self._pipes]


def _serve(pipe: Connection, how: Lockstep) -> None:
    clusters = Clusters(how)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(clusters, name)(*arguments))


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
