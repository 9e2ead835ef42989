"""What a mixture reads: the samples of each task, and by what its loss is divided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from policy.model.errors import ModelError
from policy.tasks.base import Dataset, Samples
from policy.tasks.registry import learned_task
from policy.training.mixture.config import MixtureConfig

_LOOKED_AT = 65_536
"""Training samples from which the best constant output is found, at most."""


@dataclass(frozen=True)
class TaskData:
    """One task's samples. `constant_loss`: of the best output that is the same for all training
    samples; losses are shown, weighed and added up as shares of it.
    """

    train: Samples
    validation: Samples
    test: Samples
    constant_loss: float
    about: dict[str, Any]


def open_datasets(folder: Path, tasks: Mapping[str, Any] | list[str]) -> dict[str, Dataset]:
    """The datasets folder/TASK. Raises PolicyError."""
    for name in tasks:
        if not (folder / name).is_dir():
            raise ModelError(f"{folder} has no folder {name!r}; collect: tbtest collect --task")
    return {name: learned_task(name).dataset(folder / name) for name in tasks}


def task_data(dataset: Dataset, name: str, config: MixtureConfig) -> TaskData:
    """Raises PolicyError if a split is empty, or the task's loss has no scale."""
    part = config.model.of(name)
    train = dataset.samples("train", part)
    count = min(len(train), _LOOKED_AT)
    indices = np.sort(np.random.default_rng(0).permutation(len(train))[:count])
    constant = learned_task(name).constant_loss(train.batch(indices)[1], config.tasks[name].loss)
    if not (math.isfinite(constant) and constant > 0):
        raise ModelError(
            f"{name}: a constant output has a loss of {constant:g} on the training samples; they "
            "hold nothing to learn"
        )
    return TaskData(
        train,
        dataset.samples("validation", part),
        dataset.samples("test", part),
        constant,
        dataset.about,
    )


def shares_of(data: Mapping[str, TaskData], config: MixtureConfig) -> dict[str, float]:
    """Share of each task in the samples and in the loss; they add up to 1."""
    power = {"equal": 0.0, "root": 0.5}[config.shares]
    sizes = {name: len(one.train) ** power for name, one in data.items()}
    return {name: size / sum(sizes.values()) for name, size in sizes.items()}


def batch_sizes(shares: Mapping[str, float], config: MixtureConfig) -> dict[str, int]:
    """Samples of each task in a step, over all processes."""
    total = config.batch_size * len(shares)
    return {name: max(1, round(total * share)) for name, share in shares.items()}
