"""The loop of every training: AdamW with linear warm-up and cosine decay, gradient clipping, early
stopping on validation, and a state from which an interrupted run resumes.

What a step learns from and what validation measures, the caller says. PyTorch and Accelerate: one
CPU, one GPU or several (`accelerate launch $(which tbtest) train …`) run the same code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from policy.model.errors import ModelError
from policy.training.config import Schedule
from policy.training.state import Progress, State


def make_accelerator(config: Schedule) -> Accelerator:
    """The devices and the precision of a training."""
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "no"
    return Accelerator(mixed_precision=precision)


def optimise(
    accelerator: Accelerator,
    model: nn.Module,
    config: Schedule,
    seed: int,
    folder: Path,
    *,
    accumulate: Callable[[int], Tensor],
    validate: Callable[[], dict[str, float]],
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Train to the end, resuming from `folder` if a state of the same settings lies there; the
    model then has its best weights and is in eval mode.

    Writes `logs/` (TensorBoard) and `state/` into `folder`.

    Args:
        accumulate: adds the gradients of that step to the parameters; returns the mean loss.
        validate: losses by name; `validation` is the one that chooses and stops.

    Raises:
        ModelError: the state in `folder` is of other settings, or the loss is not a number.
    """
    learned = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimiser = accelerator.prepare(
        torch.optim.AdamW(
            learned.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
    )
    state = State(folder / "state", config, seed)
    progress = state.restore(learned, optimiser)
    best = {name: value.detach().clone() for name, value in state.best(learned).items()}
    with _writer(folder / "logs", progress.step, accelerator.is_main_process) as write:
        began_s = time.monotonic() - progress.spent_s
        reached = _reached(config, progress)
        while reached < config.max_steps and progress.stale < config.patience:
            progress.step += 1
            rate = learning_rate(config, max(progress.step, int(reached)))
            progress.loss = _step(
                accelerator, model, optimiser, config, seed, accumulate, progress, rate
            )
            if not np.isfinite(progress.loss):
                raise ModelError(
                    f"the loss is {progress.loss} at step {progress.step}; lower learning_rate"
                )
            if config.max_seconds is not None:
                # Of several processes the mean, so that all stop at the same step.
                spent_s = torch.tensor(time.monotonic() - began_s, device=accelerator.device)
                progress.spent_s = float(accelerator.reduce(spent_s, "mean"))
            reached = _reached(config, progress)
            if progress.step % config.evaluate_every == 0 or reached >= config.max_steps:
                losses = validate()
                progress.validation_loss = losses["validation"]
                if progress.validation_loss < progress.best_loss:
                    progress.best_loss, progress.best_step = progress.validation_loss, progress.step
                    progress.stale = 0
                    best = {name: value.detach().clone() for name, value in learned.items()}
                else:
                    progress.stale += 1
                for name, value in losses.items():
                    write(f"loss/{name}", value, progress.step)
                if accelerator.is_main_process:
                    state.save(progress, learned, best, optimiser)
            write("loss/train", progress.loss, progress.step)
            if accelerator.is_main_process:
                on_progress(progress)
    with torch.no_grad():
        for name, best_value in best.items():
            learned[name].copy_(best_value)
    model.eval()
    return progress


@contextmanager
def _writer(folder: Path, step: int, wanted: bool) -> Iterator[Callable[[str, float, int], None]]:
    if not wanted:
        yield lambda name, value, step: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=step)
    try:
        yield writer.add_scalar
    finally:
        writer.close()


def _step(
    accelerator: Accelerator,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: Schedule,
    seed: int,
    accumulate: Callable[[int], Tensor],
    progress: Progress,
    rate: float,
) -> float:
    torch.manual_seed(seed * 1_000_003 + progress.step)
    model.train()
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    total = accumulate(progress.step)
    accelerator.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], config.clip)
    optimiser.step()
    mean: Tensor = accelerator.reduce(total, "mean")
    return float(mean)


def _reached(config: Schedule, progress: Progress) -> float:
    """The step, or how many of `max_steps` the time spent stands for where that is more."""
    if config.max_seconds is None:
        return progress.step
    return max(progress.step, config.max_steps * progress.spent_s / config.max_seconds)


def learning_rate(config: Schedule, step: int) -> float:
    """Linear warm-up, then a half cosine down to `final_rate` (Loshchilov, Hutter, arXiv
    1608.03983, one cycle).
    """
    warm = min(1.0, step / max(config.warmup_steps, 1))
    course = 0.5 * (1 + math.cos(math.pi * min(step / config.max_steps, 1.0)))
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * course)
