"""The training loop: one seed of one model on one dataset.

AdamW with linear warm-up and cosine decay, gradient clipping, early stopping on validation traces.
Samples are drawn by (seed, epoch) and dropout by (seed, step), so that a resumed run continues
exactly where it was. PyTorch and Accelerate: one CPU, one GPU or several (`accelerate launch
$(which tbtest) train …`) run the same code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from policy.model.errors import ModelError
from policy.model.model import PolicyModel
from policy.tasks.base import Arrays, Samples
from policy.training.config import TrainConfig


@dataclass
class Progress:
    """Where a run stands; also what live progress shows."""

    step: int = 0
    loss: float = float("nan")
    validation_loss: float = float("nan")
    best_loss: float = float("inf")
    best_step: int = 0
    stale: int = 0  # evaluations since the best


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
    from torch.utils.tensorboard import SummaryWriter

    accelerator = _accelerator(config)
    torch.manual_seed(seed)
    mixed = accelerator.mixed_precision == "bf16"
    model = PolicyModel(config.model, torch.bfloat16 if mixed else torch.float32)
    learned = model.trained_parameters()
    optimiser = torch.optim.AdamW(
        learned.values(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    prepared, optimiser = accelerator.prepare(model, optimiser)
    state = _State(folder / "state", config, seed)
    progress = state.restore(learned, optimiser)
    best = {name: value.detach().clone() for name, value in state.best(learned).items()}
    writer = (
        SummaryWriter(str(folder / "logs"), purge_step=progress.step)
        if accelerator.is_main_process
        else None
    )
    batches = _Batches(config, seed, len(train), accelerator)
    try:
        while progress.step < config.max_steps and progress.stale < config.patience:
            progress.step += 1
            progress.loss = _step(
                accelerator, prepared, optimiser, config, seed, train, batches, progress.step
            )
            if not np.isfinite(progress.loss):
                raise ModelError(
                    f"the loss is {progress.loss} at step {progress.step}; lower learning_rate"
                )
            if progress.step % config.evaluate_every == 0 or progress.step == config.max_steps:
                progress.validation_loss = validation_loss(
                    model, config, validation, accelerator.device
                )
                if progress.validation_loss < progress.best_loss:
                    progress.best_loss, progress.best_step = progress.validation_loss, progress.step
                    progress.stale = 0
                    best = {name: value.detach().clone() for name, value in learned.items()}
                else:
                    progress.stale += 1
                if writer is not None:
                    writer.add_scalar("loss/validation", progress.validation_loss, progress.step)
                    state.save(progress, learned, best, optimiser)
            if writer is not None:
                writer.add_scalar("loss/train", progress.loss, progress.step)
                on_progress(progress)
    finally:
        if writer is not None:
            writer.close()
    with torch.no_grad():
        for name, best_value in best.items():
            learned[name].copy_(best_value)
    return model.eval(), progress


def _accelerator(config: TrainConfig) -> Accelerator:
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "no"
    return Accelerator(mixed_precision=precision)


class _Batches:
    """Indices of each step's samples for this process: shuffled epochs, a function of (seed, step)
    alone.
    """

    def __init__(
        self, config: TrainConfig, seed: int, count: int, accelerator: Accelerator
    ) -> None:
        self._size = min(config.batch_size, count)
        self._per_epoch = count // self._size
        self._count, self._seed = count, seed
        self._rank, self._world = accelerator.process_index, accelerator.num_processes
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def at(self, step: int) -> NDArray[np.int64]:
        epoch, position = divmod(step - 1, self._per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
            self._epoch = epoch
        batch = self._order[position * self._size : (position + 1) * self._size]
        return batch[self._rank :: self._world]


def _step(
    accelerator: Accelerator,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    seed: int,
    samples: Samples,
    batches: _Batches,
    step: int,
) -> float:
    torch.manual_seed(seed * 1_000_003 + step)
    model.train()
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(config, step)
    indices = batches.at(step)
    total = torch.zeros((), device=accelerator.device)
    optimiser.zero_grad(set_to_none=True)
    for start in range(0, len(indices), config.micro_batch):
        part = indices[start : start + config.micro_batch]
        inputs, targets = samples.batch(part)
        with accelerator.autocast():
            output = model(on_device(inputs, accelerator.device))
        loss = _task_loss(
            accelerator.unwrap_model(model), output, targets, config, accelerator.device
        )
        loss = loss * (len(part) / len(indices))
        accelerator.backward(loss)
        total += loss.detach()
    accelerator.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], config.clip)
    optimiser.step()
    mean: Tensor = accelerator.reduce(total, "mean")
    return float(mean)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a half cosine down to `final_rate` (Loshchilov, Hutter, arXiv
    1608.03983, one cycle).
    """
    warm = min(1.0, step / max(config.warmup_steps, 1))
    course = 0.5 * (1 + math.cos(math.pi * min(step / config.max_steps, 1.0)))
    return config.learning_rate * warm * (config.final_rate + (1 - config.final_rate) * course)


def _task_loss(
    model: PolicyModel, output: Tensor, targets: Arrays, config: TrainConfig, device: torch.device
) -> Tensor:
    return model.task.loss(output.float(), on_device(targets, device), config.loss)


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
    count = min(config.evaluate_samples, len(validation))
    indices = np.random.default_rng(0).permutation(len(validation))[:count]
    output, targets = predict(model, validation, indices, device)
    cpu = torch.device("cpu")
    return float(_task_loss(model, torch.from_numpy(output), targets, config, cpu))


class _State:
    """Weights, best weights and optimiser moments between runs; safetensors and JSON, replaced as a
    whole.
    """

    def __init__(self, folder: Path, config: TrainConfig, seed: int) -> None:
        self._folder = folder
        # When to give up may change between runs; everything else decides the result.
        settings = config.model_dump(mode="json", exclude={"seeds", "patience"})
        self._settings = settings | {"seed": seed}

    def save(
        self,
        progress: Progress,
        learned: dict[str, nn.Parameter],
        best: dict[str, Tensor],
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"now.{name}": value.detach() for name, value in learned.items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {
                f"adam.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()
            }
        file = self._folder / f"{progress.step}.safetensors"
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, file)
        record = {"settings": self._settings, "tensors": file.name, "progress": vars(progress)}
        part = self._folder / "state.part"
        part.write_text(json.dumps(record))
        part.rename(self._folder / "state.json")
        for old in self._folder.glob("*.safetensors"):
            if old != file:
                old.unlink()

    def restore(
        self, learned: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> Progress:
        record_path = self._folder / "state.json"
        if not record_path.exists():
            return Progress()
        record = json.loads(record_path.read_text())
        if record["settings"] != self._settings:
            changed = [k for k in self._settings if record["settings"].get(k) != self._settings[k]]
            raise ModelError(
                f"{self._folder} belongs to other settings ({', '.join(changed)}); choose another "
                "--out"
            )
        tensors = load_file(self._folder / record["tensors"])
        with torch.no_grad():
            for name, parameter in learned.items():
                parameter.copy_(tensors[f"now.{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        return Progress(**record["progress"])

    def best(self, learned: dict[str, nn.Parameter]) -> dict[str, Tensor]:
        """The best weights so far; those given where there is no state yet."""
        record_path = self._folder / "state.json"
        if not record_path.exists():
            return {name: value.detach() for name, value in learned.items()}
        tensors = load_file(self._folder / json.loads(record_path.read_text())["tensors"])
        device = next(iter(learned.values())).device
        return {name: tensors[f"best.{name}"].to(device) for name in learned}
