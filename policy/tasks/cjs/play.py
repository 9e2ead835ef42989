"""Models that schedule in simulated clusters, many clusters in lockstep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from policy.model.model import PolicyModel
from policy.tasks.base import Arrays
from policy.tasks.cjs.actions import decoded
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.inputs import SHAPES, EncoderConfig, agreed, inputs_at, stacked
from policy.tasks.cjs.job import IntArray

_OF_JOBS = ("stages", "jobs", "adjacency", "present")


def on_device(
    batch: Arrays, device: torch.device | str, target_return: float | None = None
) -> dict[str, Tensor]:
    """The model's inputs of a batch as tensors; decision transformers are asked for a return."""
    inputs = {name: torch.from_numpy(batch[name]).to(device) for name in SHAPES}
    if target_return is not None:
        inputs["return_to_go"] = torch.full((len(batch["exists"]),), target_return, device=device)
    return inputs


def agrees(model: PolicyModel) -> bool:
    """Whether the model has no choice where all rules propose the same."""
    settings = model.config.encoder
    return isinstance(settings, EncoderConfig) and settings.actions == "proposed"


def shown(model: PolicyModel, batch: Arrays) -> Arrays:
    """The batch without the rows in which no cluster has a job, where the model reads no sequence:
    the outputs are the same, in a third of the time.
    """
    if model.config.kind != "direct":
        return batch
    rows = max(1, int(batch["present"].any(axis=2).sum(axis=1).max()))
    return batch | {name: batch[name][:, :rows] for name in _OF_JOBS}


def go_on(environment: ClusterEnvironment) -> bool:
    """Carry out what all rules propose until they differ; whether that was the end."""
    while (action := agreed(environment)) is not None:
        if environment.step(*action)[1]:
            return True
    return False


@torch.inference_mode()
def play(
    model: PolicyModel,
    environments: Sequence[ClusterEnvironment],
    device: torch.device | str = "cpu",
    sample_seed: int | None = None,
    target_return: float | None = None,
) -> list[IntArray]:
    """Let the model decide to the end; completion times [jobs] in ms of each cluster.

    It takes the likeliest action, or with a seed one drawn by its probability, as policies trained
    by policy gradients are run. target_return: what a decision transformer is asked for.
    """
    model.to(device).eval()
    alone = agrees(model)
    generator = torch.Generator(device).manual_seed(sample_seed or 0)
    running = list(environments)
    for environment in running:
        environment.reset()
    if alone:
        running = [environment for environment in running if not go_on(environment)]
    samples = [inputs_at(environment) for environment in running]
    while running:
        batch = stacked(samples)
        output = model(on_device(shown(model, batch), device, target_return)).flatten(1).float()
        if sample_seed is None:
            places = output.argmax(dim=1)
        else:
            places = torch.multinomial(output.exp(), 1, generator=generator)[:, 0]
        action = decoded(places.cpu().numpy(), batch["stage_number"], batch["proposed"])
        left, samples = [], []
        for environment, stage, executors in zip(
            running, action["stage"], action["executors"], strict=True
        ):
            _, done = environment.step(int(stage), int(executors))
            if not done and not (alone and go_on(environment)):
                left.append(environment)
                samples.append(inputs_at(environment))
        running = left
    return [np.array(environment.completion_ms()) for environment in environments]
