"""The model card of a checkpoint of several tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policy.tasks.registry import learned_task
from policy.training.evaluate import Measures, error_table
from policy.training.mixture.config import MixtureConfig
from policy.training.mixture.data import TaskData, shares_of
from policy.training.state import Progress

NAME = "this model"


def mixture_card(
    config: MixtureConfig,
    data: Mapping[str, TaskData],
    seeds: Mapping[int, tuple[Progress, dict[str, Measures]]],
    best_seed: int,
    rules: Mapping[str, Mapping[str, Measures]],
) -> str:
    """README.md of the checkpoint: data, seeds, and each task's errors on its test samples."""
    model = config.model
    shares = shares_of(data, config)
    progress = seeds[best_seed][0]
    lines = [
        f"# One policy for {', '.join(model.tasks)}",
        "",
        f"- Backbone: {_backbone(config)}; one encoder, head and task token for each task.",
        "- Each step learns from all tasks; losses are divided by those of the best constant "
        "output. Shares: "
        + ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        + ".",
        f"- Seeds: {', '.join(map(str, seeds))}; this is seed {best_seed}, chosen on validation: "
        f"loss {progress.best_loss:.4f} of the constant's at step {progress.best_step}, the mean "
        "over tasks.",
    ]
    if config.start is not None:
        lines.append("- Training began with the backbone of another checkpoint.")
    if not config.train_backbone:
        lines.append("- The backbone was not trained.")
    for name, one in data.items():
        task = learned_task(name)
        first = task.shown[0]
        spread = [first.scale * tests[name]["all"][first.name] for _, tests in seeds.values()]
        deviation = float(np.std(spread, ddof=1 if len(spread) > 1 else 0))
        lines += [
            "",
            f"## {name}",
            "",
            f"{one.about['rows']} samples of {one.about['traces']} sources. Loss: "
            f"{task.about_loss(config.tasks[name].loss)}; that of the best constant output is "
            f"{one.constant_loss:.4f}. {first.label} on test samples over seeds: mean "
            f"{np.mean(spread):.1f}, standard deviation {deviation:.1f} {first.unit}.",
            "",
            *error_table(task, {NAME: seeds[best_seed][1][name], **rules[name]}),
        ]
    lines += ["", "These are open-loop errors.", ""]
    return "\n".join(lines)


def _backbone(config: MixtureConfig) -> str:
    model = config.model
    if model.kind != "nioka":
        size = model.control
        return f"{model.kind} trained from scratch, {size.layers} layers of {size.hidden}"
    backbone = model.backbone
    own = f" and {backbone.lora.rank_per_task} for each task" * bool(backbone.lora.rank_per_task)
    known = backbone.architecture
    return (
        f"{backbone.id if known is None else known['model_type']}, "
        f"{'pretrained' if backbone.pretrained and known is None else 'random'} weights, "
        f"{backbone.layers or 'all'} blocks, "
        + (f"LoRA rank {backbone.lora.rank}{own}" if backbone.frozen else "all weights trained")
    )
