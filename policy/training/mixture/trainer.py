"""One seed of one model of several tasks.

Each step learns from every task, one homogeneous batch after another, so that no task is forgotten
between two others. The step's loss is the sum over tasks of share * loss / constant loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from policy.model import joint_checkpoint
from policy.model.errors import ModelError
from policy.model.joint import JointModel
from policy.training.batches import Batches
from policy.training.loop import make_accelerator, optimise
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import TaskData, batch_sizes, shares_of
from policy.training.state import Progress
from policy.training.trainer import loss_on, on_device


def train_mixture(
    config: MixtureConfig,
    seed: int,
    data: Mapping[str, TaskData],
    folder: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> tuple[JointModel, Progress]:
    """Train to the end, resuming from `folder` if a state of the same settings lies there.

    Returns the model with the weights that were best on validation: the mean over tasks of loss /
    constant loss, whatever the shares.

    Raises:
        ModelError: the state in `folder` is of other settings, the checkpoint to begin with does
            not fit, or the loss is not a number.
    """
    accelerator = make_accelerator(config)
    device = accelerator.device
    torch.manual_seed(seed)
    # Weights that are trained whole need more digits than bfloat16 has.
    small = accelerator.mixed_precision == "bf16" and config.model.backbone.frozen
    model = JointModel(config.model, torch.bfloat16 if small else torch.float32).to(device)
    if config.start is not None:
        start_from(model, Path(config.start))
    learned = [value for value in model.backbone.parameters() if value.requires_grad]
    for value in learned:
        value.requires_grad_(config.train_backbone)
    shares = shares_of(data, config)
    sizes = batch_sizes(shares, config)
    batches = {
        name: Batches(
            sizes[name],
            len(one.train),
            [seed, *name.encode()],
            accelerator.process_index,
            accelerator.num_processes,
        )
        for name, one in data.items()
    }

    def accumulate(step: int) -> Tensor:
        total = torch.zeros((), device=device)
        for name, one in data.items():
            task = model.models[name]
            scale = shares[name] / one.constant_loss
            indices = batches[name].at(step)
            for start in range(0, len(indices), config.micro_batch):
                part = indices[start : start + config.micro_batch]
                inputs, targets = one.train.batch(part)
                with accelerator.autocast():
                    output = task(on_device(inputs, device)).float()
                loss = task.task.loss(output, on_device(targets, device), config.tasks[name].loss)
                loss = loss * (scale * len(part) / len(indices))
                accelerator.backward(loss)
                total += loss.detach()
        if accelerator.num_processes > 1:
            # Each forward pass uses some of the parameters, so that gradients are averaged here
            # and not while they come.
            for parameter in model.trained_parameters().values():
                if parameter.grad is not None:
                    parameter.grad = accelerator.reduce(parameter.grad, "mean")
        return total

    def validate() -> dict[str, float]:
        losses = {
            f"validation-{name}": loss_on(
                model.models[name],
                one.validation,
                config.tasks[name].loss,
                config.evaluate_samples,
                device,
            )
            / one.constant_loss
            for name, one in data.items()
        }
        return {"validation": sum(losses.values()) / len(losses), **losses}

    progress = optimise(
        accelerator,
        model,
        config,
        seed,
        folder,
        accumulate=accumulate,
        validate=validate,
        on_progress=on_progress,
    )
    # Trained here or not, a checkpoint holds it.
    for value in learned:
        value.requires_grad_(True)
    return model, progress


def start_from(model: JointModel, folder: Path) -> None:
    """Take over a checkpoint's backbone, and the encoders, heads and tokens of the tasks that it
    knows, too. Raises ModelError.
    """
    known, infos = joint_checkpoint.load(folder, device=next(model.parameters()).device)
    first = next(iter(infos.values())).model
    ours = model.config
    if (first.kind, first.backbone, first.control, first.task_token) != (
        ours.kind,
        ours.backbone,
        ours.control,
        ours.task_token,
    ):
        raise ModelError(f"start: {folder} has another backbone than model says")
    stored = known.trained_parameters()
    with torch.no_grad():
        for name, value in model.trained_parameters().items():
            if name not in stored:
                continue
            if stored[name].shape != value.shape:
                raise ModelError(f"start: {folder}: {name} has another shape")
            value.copy_(stored[name])
