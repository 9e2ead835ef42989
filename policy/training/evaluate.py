"""Errors on held-out traces, and the model card that reports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policy.model.model import PolicyModel
from policy.tasks.base import LearnedTask, Samples
from policy.tasks.registry import learned_task
from policy.training.config import TrainConfig
from policy.training.trainer import Progress, predict

Measures = dict[str, dict[str, float]]
"""family -> measure -> mean; "all" is over every sample."""


def evaluate(
    model: PolicyModel, samples: Samples, device: torch.device, limit: int = 65536
) -> Measures:
    """Mean error measures of a model by trace family, on at most `limit` samples drawn without
    replacement.
    """
    indices = sample_indices(samples, limit)
    output, targets = predict(model, samples, indices, device)
    return _by_family(model.task, output, targets, samples.families[indices])


def evaluate_baselines(
    task: LearnedTask, samples: Samples, limit: int = 65536
) -> dict[str, Measures]:
    """The same of the rule policies that the samples carry, each where it has an answer."""
    indices = sample_indices(samples, limit)
    _, targets = samples.batch(indices)
    results = {}
    for name, output in samples.baselines.items():
        known = ~np.isnan(output[indices]).reshape(len(indices), -1).any(axis=1)
        kept = {key: value[known] for key, value in targets.items()}
        results[name] = _by_family(
            task, output[indices][known], kept, samples.families[indices][known]
        )
    return results


def sample_indices(samples: Samples, limit: int) -> NDArray[np.int64]:
    """The same subset for every model, so that they are compared on the same samples."""
    return np.sort(np.random.default_rng(1).permutation(len(samples))[:limit])


def _by_family(
    task: LearnedTask,
    output: NDArray[np.float32],
    targets: Mapping[str, NDArray[np.float32]],
    families: NDArray[np.str_],
) -> Measures:
    values = task.measures(output, targets)
    groups = {"all": np.ones(len(families), bool)} | {
        str(f): families == f for f in np.unique(families)
    }
    return {
        name: {measure: float(np.mean(value[mask])) for measure, value in values.items()}
        for name, mask in groups.items()
    }


def model_card(
    name: str,
    config: TrainConfig,
    *,
    dataset: Mapping[str, Any],
    seeds: Mapping[int, tuple[Progress, Measures]],
    best_seed: int,
    others: Mapping[str, Measures],
) -> str:
    """README.md of a checkpoint: data, seeds, and errors on the test traces beside those of other
    policies.
    """
    ours = seeds[best_seed][1]
    model = config.model
    task = learned_task(model.task)
    first = task.shown[0]
    spread = [first.scale * measures["all"][first.name] for _, measures in seeds.values()]
    what = (
        model.backbone.id
        if model.backbone.architecture is None
        else model.backbone.architecture["model_type"]
    )
    pretrained = model.backbone.pretrained and model.backbone.architecture is None
    control = model.control
    backbone = (
        f"{what}, "
        f"{'pretrained' if pretrained else 'random'} "
        f"weights, {model.backbone.layers or 'all'} blocks, LoRA rank {model.backbone.lora.rank}"
        if model.kind == "nioka"
        else f"{model.kind} trained from scratch, {control.layers} layers of {control.hidden}"
    )
    lines = [
        f"# {name}",
        "",
        f"- Task: {model.task}; objective: {model.objective}; history of {model.history} steps.",
        f"- Backbone: {backbone}.",
        f"- Loss: {task.about_loss(config.loss)}.",
        f"- Data: {dataset['rows']} samples of {dataset['traces']} source traces; split by source "
        "trace.",
        f"- Seeds: {', '.join(map(str, seeds))}; this is seed {best_seed}, chosen on validation "
        "traces "
        f"(loss {seeds[best_seed][0].best_loss:.4f} at step {seeds[best_seed][0].best_step}).",
        f"- {first.label} on test traces over seeds: mean {float(np.mean(spread)):.1f}, standard "
        f"deviation {float(np.std(spread, ddof=1 if len(spread) > 1 else 0)):.1f} {first.unit}.",
        "",
        "## Errors on test traces",
        "",
        *error_table(task, {name: ours, **others}),
        "",
        "These are open-loop errors; closed-loop results come from `tbtest run`.",
        "",
    ]
    return "\n".join(lines)


def error_table(task: LearnedTask, policies: Mapping[str, Measures]) -> list[str]:
    """Lines of a table of the task's shown measures: a row for each family, as the first policy has
    them, and policy.
    """
    lines = [
        task.about_measures,
        "",
        "| trace family | policy | " + " | ".join(measure.label for measure in task.shown) + " |",
        "|---|---|" + "---:|" * len(task.shown),
    ]
    for family in next(iter(policies.values())):
        for policy, measures in policies.items():
            if family in measures:
                row = measures[family]
                cells = " | ".join(
                    f"{measure.scale * row[measure.name]:.1f}" for measure in task.shown
                )
                lines.append(f"| {family} | {policy} | {cells} |")
    return lines
