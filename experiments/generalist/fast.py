"""The mixture's training for many short runs: samples on the device, one pass of the backbone for
all tasks, and on CUDA the whole gradient as one graph.

The objective, the schedule, the optimiser and the settings are those of
`policy.training.mixture`. One pass serves the sequences of all tasks: a language model has them in
one row, a small transformer padded at their end, which causal models do not see. A step costs one
launch then; without a graph an LLM of eight blocks is bound by launches, at a tenth of the speed.
Trainings are generators that pause after each step, so that one process does several side by side,
each on a stream of its own.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.generalist.gradients import LEAN, Gradients
from experiments.generalist.lean import make_lean
from experiments.generalist.precision import mixed_dtype
from experiments.generalist.resident import Resident, loss_on
from policy.model.backbone import LlmBackbone
from policy.model.joint import JointModel
from policy.training.batches import Batches
from policy.training.loop import learning_rate
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import batch_sizes

State = Mapping[str, Tensor]


@dataclass
class Trained:
    """A model with the weights that were best on validation, and its course."""

    model: JointModel
    best_step: int = 0
    best_loss: float = float("inf")
    steps: int = 0
    wall_s: float = 0.0
    captured: bool = False
    not_captured: str = ""
    curve: list[dict[str, float]] = field(default_factory=list)
    gradients: Gradients | None = None


def state_of(model: JointModel) -> dict[str, Tensor]:
    """A copy of what learns, by name."""
    return {name: value.detach().clone() for name, value in model.trained_parameters().items()}


def build(
    config: MixtureConfig, seed: int, device: torch.device, start: State | None = None
) -> JointModel:
    """The model at the beginning of a training. `start`: weights that it takes over."""
    torch.manual_seed(seed)
    small = mixed_dtype(config, device) is not None and config.model.backbone.frozen
    model = JointModel(config.model, torch.bfloat16 if small else torch.float32).to(device)
    if start is not None:
        with torch.no_grad():
            for name, value in model.trained_parameters().items():
                if name in start:
                    value.copy_(start[name])
    if isinstance(model.backbone, LlmBackbone):
        LEAN[model.backbone] = make_lean(model.backbone)
    return model


def train_fast(
    model: JointModel, config: MixtureConfig, seed: int, data: Mapping[str, Resident]
) -> Trained:
    """`training`, to its end."""
    steps = training(model, config, seed, data)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            trained: Trained = end.value
            return trained


def training(
    model: JointModel,
    config: MixtureConfig,
    seed: int,
    data: Mapping[str, Resident],
    *,
    gradients: Gradients | None = None,
    rows: Mapping[str, NDArray[np.int64]] | None = None,
) -> Generator[None, None, Trained]:
    """Train to the last step, pausing after each; the model then has its best weights, in eval
    mode.

    `gradients`: of an earlier training of this model, whose graph is used again. `rows`: the
    training samples that are drawn, of tasks that do not use all.
    """
    began = time.monotonic()
    all_learned = model.trained_parameters()
    kept = {
        name: value
        for name, value in all_learned.items()
        if config.train_backbone or not name.startswith("backbone.")
    }
    device = next(model.parameters()).device
    cuda = device.type == "cuda"
    lengths = {name: len(one.sides["train"]) for name, one in data.items()}
    power = {"equal": 0.0, "root": 0.5}[config.shares]
    weights = {name: length**power for name, length in lengths.items()}
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    sizes = {name: min(size, lengths[name]) for name, size in batch_sizes(shares, config).items()}
    drawn = {
        name: _drawn(name, size, lengths[name], seed, config, (rows or {}).get(name), device)
        for name, size in sizes.items()
    }
    model.train()
    result = Trained(model)
    if gradients is None:
        gradients = Gradients(model, config, data, sizes, shares)
        for name, one in drawn.items():
            gradients.rows[name].copy_(one[0])  # real samples for the comparison in `capture`
        # cuDNN's GRU cannot be replayed from a graph.
        if cuda and config.model.kind != "gru":
            gradients.capture()
    result.captured, result.not_captured = gradients.captured, gradients.failed
    optimiser = torch.optim.AdamW(
        kept.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=cuda
    )
    autocast = mixed_dtype(config, device)
    best = {name: value.detach().clone() for name, value in kept.items()}
    gradients.total.zero_()
    for step in range(1, config.max_steps + 1):
        if step == 1 or (step - 1) % config.evaluate_every == 0:
            model.train()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        for name, one in drawn.items():
            gradients.rows[name].copy_(one[step - 1])
        gradients.run()
        torch.nn.utils.clip_grad_norm_(list(kept.values()), config.clip, foreach=True)
        optimiser.step()
        if step % config.evaluate_every == 0 or step == config.max_steps:
            losses = {
                name: loss_on(
                    model, config, name, one, limit=config.evaluate_samples, autocast=autocast
                )
                for name, one in data.items()
            }
            mean = sum(losses.values()) / len(losses)
            train = float(gradients.total) / config.evaluate_every
            gradients.total.zero_()
            result.curve.append({"step": step, "train": train, "validation": mean, **losses})
            if mean < result.best_loss:
                result.best_loss, result.best_step = mean, step
                torch._foreach_copy_(list(best.values()), [v.detach() for v in kept.values()])
        result.steps = step
        yield
    with torch.no_grad():
        for name, kept_best in best.items():
            kept[name].copy_(kept_best)
    model.eval()
    result.gradients = gradients
    result.wall_s = time.monotonic() - began
    return result


def _drawn(
    name: str,
    size: int,
    length: int,
    seed: int,
    config: MixtureConfig,
    rows: NDArray[np.int64] | None,
    device: torch.device,
) -> Tensor:
    """The rows of all steps [steps, size]. Fewer samples than a batch has come more than once."""
    count = length if rows is None else len(rows)
    batches = Batches(min(size, count), count, [seed, *name.encode()])
    table = np.stack([np.resize(batches.at(step + 1), size) for step in range(config.max_steps)])
    return torch.from_numpy(table if rows is None else rows[table]).to(device)
