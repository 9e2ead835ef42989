"""One seed of one model on one dataset.

Samples are drawn by (seed, epoch) and dropout by (seed, step), so that a resumed run continues
exactly where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.model import checkpoint
from policy.model.errors import ModelError
from policy.model.info import resolve
from policy.model.model import PolicyModel
from policy.tasks.base import Arrays, Samples, Settings
from policy.training.batches import Batches
from policy.training.config import TrainConfig
from policy.training.loop import learning_rate, make_accelerator, optimise
from policy.training.state import Progress

__all__ = [
    "Progress",
    "learning_rate",
    "loss_on",
    "on_device",
    "predict",
    "train_one",
    "validation_loss",
]


def train_one(
    config: TrainConfig,
    seed: int,
    train: Samples,
    validation: Samples,
    folder: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[PolicyModel, Progress]:
    """Train to the end, resuming from `folder` if a state of the same settings lies there.

    Writes `logs/` (TensorBoard) and `state/` into `folder`. Returns the model with its best
    weights, in eval mode.

    Raises:
        ModelError: the state in `folder` is of other settings, or the loss is not a number.
    """
    accelerator = make_accelerator(config)
    torch.manual_seed(seed)
    mixed = accelerator.mixed_precision == "bf16"
    model = PolicyModel(config.model, torch.bfloat16 if mixed else torch.float32)
    if config.start is not None:
        _begin_with(model.trained_parameters(), config.start)
    prepared = accelerator.prepare(model)
    device = accelerator.device
    batches = Batches(
        config.batch_size, len(train), seed, accelerator.process_index, accelerator.num_processes
    )

    def accumulate(step: int) -> Tensor:
        indices = batches.at(step)
        total = torch.zeros((), device=device)
        for start in range(0, len(indices), config.micro_batch):
            part = indices[start : start + config.micro_batch]
            inputs, targets = train.batch(part)
            with accelerator.autocast():
                output = prepared(on_device(inputs, device))
            loss = model.task.loss(output.float(), on_device(targets, device), config.loss)
            loss = loss * (len(part) / len(indices))
            accelerator.backward(loss)
            total += loss.detach()
        return total

    progress = optimise(
        accelerator,
        model,
        config,
        seed,
        folder,
        accumulate=accumulate,
        validate=lambda: {"validation": validation_loss(model, config, validation, device)},
        on_progress=on_progress,
    )
    return model, progress


def _begin_with(learned: dict[str, nn.Parameter], start: str) -> None:
    """Copy the weights that a checkpoint has too. Raises ModelError if it has none of them."""
    known = checkpoint.load(resolve(start))[0].trained_parameters()
    fitting = [n for n, value in learned.items() if n in known and known[n].shape == value.shape]
    if not fitting:
        raise ModelError(f"start: {start} has no weights that fit this model")
    with torch.no_grad():
        for name in fitting:
            learned[name].copy_(known[name])


def on_device(arrays: Arrays, device: torch.device) -> dict[str, Tensor]:
    """The arrays as tensors there."""
    return {
        name: torch.from_numpy(array).to(device, non_blocking=True)
        for name, array in arrays.items()
    }


@torch.inference_mode()
def predict(
    model: PolicyModel,
    samples: Samples,
    indices: NDArray[np.int64],
    device: torch.device,
    batch: int = 1024,
) -> tuple[NDArray[np.float32], Arrays]:
    """Outputs and targets of the samples, dropout off; nothing is carried from one sample to
    another.
    """
    model.eval()
    outputs, targets = [], []
    for start in range(0, len(indices), batch):
        inputs, wanted = samples.batch(indices[start : start + batch])
        outputs.append(model(on_device(inputs, device)).float().cpu().numpy())
        targets.append(wanted)
    return np.concatenate(outputs), {k: np.concatenate([t[k] for t in targets]) for k in targets[0]}


def validation_loss(
    model: PolicyModel, config: TrainConfig, validation: Samples, device: torch.device
) -> float:
    """The training loss on a fixed subset of the validation samples."""
    return loss_on(model, validation, config.loss, config.evaluate_samples, device)


def loss_on(
    model: PolicyModel, samples: Samples, settings: Settings, limit: int, device: torch.device
) -> float:
    """The loss on a fixed subset of at most `limit` samples; `settings` are the task's."""
    count = min(limit, len(samples))
    indices = np.random.default_rng(0).permutation(len(samples))[:count]
    output, targets = predict(model, samples, indices, device)
    tensors = on_device(targets, torch.device("cpu"))
    return float(model.task.loss(torch.from_numpy(output), tensors, settings))
