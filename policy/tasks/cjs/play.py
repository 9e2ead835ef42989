"""Models that schedule in simulated clusters, many clusters in lockstep."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.model.info import read_info
from policy.model.load import load_model
from policy.tasks.base import Arrays, TaskConfig
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import EncoderConfig, agreed, inputs_at, stacked
from policy.tasks.cjs.job import IntArray
from policy.tasks.registry import learned_task


@dataclass(frozen=True)
class Player:
    """A model that schedules. decide: a batch as `inputs.stacked` makes it -> stage and executors,
    each [n]. agrees: it is not asked where all rules propose the same.
    """

    decide: Callable[[Arrays], Arrays]
    agrees: bool


def load_player(folder: Path, device: str = "cpu") -> Player:
    """A checkpoint as a server runs it, by its portable file or by PyTorch, but on all cores: no
    live network needs them. Raises ModelError.
    """
    info = read_info(folder, "cjs")
    policy = load_model(folder, device, "cjs", len(os.sched_getaffinity(0)))
    observation = learned_task("cjs").observation(1)

    def decide(batch: Arrays) -> Arrays:
        chosen = policy.decide(observation.batch(batch), 0)
        return {"stage": chosen.stage, "executors": chosen.executors}

    return Player(decide, agrees(info.model))


def agrees(config: TaskConfig) -> bool:
    """Whether a model has no choice where all rules propose the same."""
    settings = config.encoder
    return isinstance(settings, EncoderConfig) and settings.actions == "proposed"


def play(player: Player, environments: Sequence[ClusterEnvironment]) -> list[IntArray]:
    """Let the model decide to the end; completion times [jobs] in ms of each cluster."""
    running = list(environments)
    for environment in running:
        environment.reset()
    if player.agrees:
        running = [environment for environment in running if not _go_on(environment)]
    samples = [inputs_at(environment) for environment in running]
    while running:
        action = player.decide(stacked(samples))
        left, samples = [], []
        for environment, stage, executors in zip(
            running, action["stage"], action["executors"], strict=True
        ):
            _, done = environment.step(int(stage), int(executors))
            if not done and not (player.agrees and _go_on(environment)):
                left.append(environment)
                samples.append(inputs_at(environment))
        running = left
    return [np.array(environment.completion_ms()) for environment in environments]


def _go_on(environment: ClusterEnvironment) -> bool:
    """Carry out what all rules propose until they differ; whether that was the end."""
    while (action := agreed(environment)) is not None:
        if environment.step(*action)[1]:
            return True
    return False
