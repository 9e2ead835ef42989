"""A model of PyTorch as a player, and its inputs as tensors: for training, and for playing by a
random draw.
"""

from __future__ import annotations

import torch
from torch import Tensor

from policy.model.model import PolicyModel
from policy.tasks.base import Arrays
from policy.tasks.cjs.actions import decoded
from policy.tasks.cjs.inputs import SHAPES
from policy.tasks.cjs.play import Player, agrees

_OF_JOBS = ("stages", "jobs", "adjacency", "present")


def on_device(
    batch: Arrays, device: torch.device | str, target_return: float | None = None
) -> dict[str, Tensor]:
    """The model's inputs of a batch as tensors; decision transformers are asked for a return."""
    inputs = {name: torch.from_numpy(batch[name]).to(device) for name in SHAPES}
    if target_return is not None:
        inputs["return_to_go"] = torch.full((len(batch["exists"]),), target_return, device=device)
    return inputs


def _shown(model: PolicyModel, batch: Arrays) -> Arrays:
    """The batch without the rows in which no cluster has a job, where the model reads no sequence:
    the outputs are the same, in a third of the time.
    """
    if model.config.kind != "direct":
        return batch
    rows = max(1, int(batch["present"].any(axis=2).sum(axis=1).max()))
    return batch | {name: batch[name][:, :rows] for name in _OF_JOBS}


def player(
    model: PolicyModel,
    device: torch.device | str = "cpu",
    sample_seed: int | None = None,
    target_return: float | None = None,
) -> Player:
    """The model takes the likeliest action, or with a seed one drawn by its probability, as
    policies trained by policy gradients are run. target_return: what a decision transformer is
    asked for.
    """
    model.to(device).eval()
    generator = torch.Generator(device).manual_seed(sample_seed or 0)

    @torch.inference_mode()
    def decide(batch: Arrays) -> Arrays:
        output = model(on_device(_shown(model, batch), device, target_return)).flatten(1).float()
        if sample_seed is None:
            places = output.argmax(dim=1)
        else:
            places = torch.multinomial(output.exp(), 1, generator=generator)[:, 0]
        return decoded(places.cpu().numpy(), batch["stage_number"], batch["proposed"])

    return Player(decide, agrees(model.config))
