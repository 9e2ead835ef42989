"""Samples that lie on the device whole, so that a step gathers its rows there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.generalist.families import of_samples
from policy.model.joint import JointModel
from policy.tasks.base import Arrays, Samples, Split
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import TaskData

Tensors = dict[str, Tensor]
_CHUNK = 4096
CHUNKS_A_SESSION = 47
"""Decisions of a streaming session of `abr_data.py`."""


@dataclass(frozen=True)
class Side:
    """One split of one task: inputs and targets [n, ...] by name, and the unit of each sample, from
    which intervals are drawn: a flow, a session, a sequence of jobs.
    """

    inputs: Tensors
    targets: Tensors
    units: NDArray[np.int64]
    families: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.units)

    def at(self, rows: Tensor) -> tuple[Tensors, Tensors]:
        """The samples of these rows, where `rows` are."""
        inputs = {name: value[rows] for name, value in self.inputs.items()}
        return inputs, {name: value[rows] for name, value in self.targets.items()}

    def only(self, rows: NDArray[np.int64], answers: NDArray[np.int64] | None = None) -> Side:
        """These samples, or the inputs of these with the targets of others."""
        device = next(iter(self.inputs.values())).device
        own, other = (
            torch.from_numpy(x).to(device) for x in (rows, answers if answers is not None else rows)
        )
        families = None if self.families is None else self.families[rows]
        return Side(self.at(own)[0], self.at(other)[1], self.units[rows], families)


@dataclass(frozen=True)
class Resident:
    """A task's splits, and by what its loss is divided."""

    sides: Mapping[Split, Side]
    constant_loss: float

    def with_train(self, side: Side) -> Resident:
        """The same with other training samples."""
        return Resident({**self.sides, "train": side}, self.constant_loss)


def resident(task: str, data: TaskData, device: torch.device, folder: Path) -> Resident:
    """All samples of a task, which lie in `folder`, on the device."""
    sides: dict[Split, Side] = {}
    parts: tuple[tuple[Split, Samples], ...] = (
        ("train", data.train),
        ("validation", data.validation),
        ("test", data.test),
    )
    for name, samples in parts:
        inputs, targets = _whole(samples)
        tensors = [
            {key: torch.from_numpy(value).to(device) for key, value in arrays.items()}
            for arrays in (inputs, targets)
        ]
        sides[name] = Side(
            tensors[0], tensors[1], _units(task, samples), of_samples(task, samples, folder / name)
        )
    return Resident(sides, data.constant_loss)


def _whole(samples: Samples) -> tuple[Arrays, Arrays]:
    starts = range(0, len(samples), _CHUNK)
    parts = [samples.batch(np.arange(start, min(start + _CHUNK, len(samples)))) for start in starts]
    inputs, targets = (
        {key: np.concatenate([part[side][key] for part in parts]) for key in parts[0][side]}
        for side in (0, 1)
    )
    return inputs, targets


def _units(task: str, samples: Samples) -> NDArray[np.int64]:
    known = vars(samples)
    if task == "congestion":
        found = known["_start"]
    elif task == "cjs":
        found = known["_arrays"]["sequence"][known["_rows"]]
    else:
        batch = known["_arrays"]["batch"]
        places = np.concatenate([np.arange(n) for n in np.unique(batch, return_counts=True)[1]])
        sessions = np.bincount(batch)[batch] // CHUNKS_A_SESSION
        # The states of a file lie step by step, those of all its sessions together.
        found = batch * 1_000_000 + places % np.maximum(sessions, 1)
    units: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return units


@torch.no_grad()
def outputs(
    model: JointModel, task: str, side: Side, autocast: torch.dtype | None, batch: int = 1024
) -> Tensor:
    """What the model says to all samples of a side [n, ...], dropout off."""
    model.eval()
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(side), batch):
        rows = torch.arange(start, min(start + batch, len(side)), device=device)
        with torch.autocast(device.type, autocast or torch.bfloat16, autocast is not None):
            found.append(model.models[task](side.at(rows)[0]).float())
    return torch.cat(found)


def loss_on(
    model: JointModel,
    config: MixtureConfig,
    task: str,
    data: Resident,
    side: Split = "validation",
    limit: int = 2048,
    autocast: torch.dtype | None = None,
) -> float:
    """Loss / constant loss on at most `limit` samples, always the same."""
    whole = data.sides[side]
    rows = np.random.default_rng(0).permutation(len(whole))[:limit]
    part = whole.only(np.sort(rows)) if limit < len(whole) else whole
    out = outputs(model, task, part, autocast)
    loss = model.models[task].task.loss(out, part.targets, config.tasks[task].loss)
    return float(loss) / data.constant_loss
