"""A whole training on several tasks: every seed, the best checkpoint, its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from policy.model import joint_checkpoint
from policy.model.joint import JointModel
from policy.tasks.base import Dataset
from policy.training.evaluate import Measures, evaluate, evaluate_baselines
from policy.training.mixture.card import mixture_card
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import TaskData, open_datasets, shares_of, task_data
from policy.training.mixture.trainer import train_mixture
from policy.training.state import Progress


def train(
    datasets: Path | Mapping[str, Dataset],
    config: MixtureConfig,
    out: Path,
    *,
    on_progress: Callable[[int, Progress], None] = lambda seed, progress: None,
) -> Path:
    """Train all seeds and write `out/checkpoint`, the one that did best on validation.

    datasets: a folder that holds one for each task, under its name; or the datasets by task.
    `out/seed-<k>/` is as for one task.

    Raises:
        PolicyError: a dataset, the settings, or a state to resume is unusable.
    """
    if isinstance(datasets, Path):
        datasets = open_datasets(datasets, config.model.tasks)
    data = {name: task_data(datasets[name], name, config) for name in config.model.tasks}
    process = PartialState()
    results: dict[int, tuple[Progress, dict[str, Measures]]] = {}
    best: tuple[float, int, JointModel] | None = None
    for seed in config.seeds:
        model, progress = train_mixture(
            config, seed, data, out / f"seed-{seed}", on_progress=partial(on_progress, seed)
        )
        tests = {
            name: evaluate(model.models[name], one.test, process.device)
            for name, one in data.items()
        }
        results[seed] = progress, tests
        if best is None or progress.best_loss < best[0]:
            best = progress.best_loss, seed, model
    assert best is not None
    _, best_seed, model = best
    rules = {
        name: evaluate_baselines(model.models[name].task, one.test) for name, one in data.items()
    }
    training: dict[str, Any] = {
        "datasets": {
            name: one.about | {"constant_loss": one.constant_loss} for name, one in data.items()
        },
        "shares": shares_of(data, config),
        "settings": config.model_dump(mode="json", exclude={"model"}),
        "seed": best_seed,
        "seeds": {
            str(seed): {"progress": vars(progress), "test": tests}
            for seed, (progress, tests) in results.items()
        },
        "trained_parameters": sum(one.numel() for one in model.trained_parameters().values()),
    }
    card = mixture_card(config, data, results, best_seed, rules)
    folder = out / "checkpoint"
    if process.is_main_process:
        joint_checkpoint.save(
            folder, model, card=card, training=training, tasks=_records(config, data)
        )
    return folder


def _records(
    config: MixtureConfig, data: Mapping[str, TaskData]
) -> dict[str, joint_checkpoint.TaskRecord]:
    records = {}
    for name, one in data.items():
        conditioned = config.model.tasks[name].objective == "decision-transformer"
        records[name] = joint_checkpoint.TaskRecord(
            config.tasks[name].serving, one.train.target_return() if conditioned else None
        )
    return records
