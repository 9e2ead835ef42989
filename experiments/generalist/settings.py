"""Settings and data of a campaign's runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from experiments.generalist.plan import Plan
from experiments.generalist.resident import Resident, resident
from experiments.generalist.rows import ROWS, TASKS, config_of
from experiments.generalist.samples import fewer_held
from policy.tasks.base import Dataset
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import open_datasets, task_data


def settings_of(
    plan: Plan, row: str, tasks: tuple[str, ...], seed: int, **more: Any
) -> MixtureConfig:
    """Of one training. Raises pydantic's ValidationError."""
    steps = more.get("max_steps", plan.steps)
    settings = {
        "max_steps": steps,
        "batch_size": plan.batch,
        "micro_batch": plan.batch,
        "evaluate_every": max(steps // plan.evaluations, 1),
        "evaluate_samples": plan.validation,
        "warmup_steps": max(min(steps // 10, 200), 1),
        "clip": 1.0,
        **more,
    }
    return config_of(ROWS[row], tasks, seed, plan.small, settings)


def load_data(
    plan: Plan, folder: Path, device: torch.device
) -> tuple[dict[str, Dataset], dict[str, Resident]]:
    """All tasks' datasets, and their samples on the device. Raises PolicyError."""
    config = settings_of(plan, "G", TASKS, 0)
    datasets = open_datasets(folder, list(TASKS))
    data = {
        name: resident(name, task_data(datasets[name], name, config), device, folder / name)
        for name in TASKS
    }
    return datasets, {name: fewer_held(one, plan.tested) for name, one in data.items()}
