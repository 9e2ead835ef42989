"""Specialists' adapters merged into one model without any training: task arithmetic (Ilharco et
al., arXiv 2212.04089), the control of a generalist that was trained on all tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from policy.model import joint_checkpoint
from policy.model.errors import ModelError
from policy.model.joint import JointModel
from policy.model.joint_config import JointConfig

CARD = """# {tasks}: merged

Adapters of {folders}, each weighed {weight:g}, without training; encoders, heads and task tokens
are theirs.
"""


def merge(folders: Sequence[Path], out: Path, weight: float | None = None) -> Path:
    """Write a checkpoint whose backbone is W + weight * (sum of what each specialist added to W).

    The sum of n products of rank r is one of rank n * r, so that nothing is rounded. weight: 1 / n
    if None.

    Raises:
        ModelError: a checkpoint cannot be read, they share a task, or their backbones or adapters
            are not of one shape.
    """
    loaded = [joint_checkpoint.load(folder) for folder in folders]
    models = [model for model, _ in loaded]
    config = _config([model.config for model in models])
    weight = 1 / len(models) if weight is None else weight
    merged = JointModel(config)
    known = [model.trained_parameters() for model in models]
    with torch.no_grad():
        for name, value in merged.trained_parameters().items():
            if name.startswith("backbone."):
                value.copy_(_joined(name, [one[name] for one in known], weight))
            else:
                (own,) = (one[name] for one in known if name in one)
                value.copy_(own)
    infos = {task: info for _, found in loaded for task, info in found.items()}
    names = [folder.name for folder in folders]
    joint_checkpoint.save(
        out,
        merged,
        card=CARD.format(tasks=", ".join(infos), folders=", ".join(names), weight=weight),
        training={"merged": names, "weight": weight},
        tasks={
            task: joint_checkpoint.TaskRecord(info.serving, info.target_return)
            for task, info in infos.items()
        },
    )
    return out


def _config(configs: Sequence[JointConfig]) -> JointConfig:
    first = configs[0]
    tasks = [task for one in configs for task in one.tasks]
    if len(set(tasks)) != len(tasks):
        raise ModelError(f"merging: a task occurs twice among {', '.join(tasks)}")
    lora = first.backbone.lora
    if first.kind != "nioka" or not lora.rank or lora.rank_per_task:
        raise ModelError("merging: specialists need a language model with one adapter each")
    for one in configs[1:]:
        if (one.kind, one.backbone, one.task_token) != (
            first.kind,
            first.backbone,
            first.task_token,
        ):
            raise ModelError("merging: the specialists' backbones are not of one shape")
    n = len(configs)
    # The scale of adapters, alpha / rank, stays.
    wider = lora.model_copy(update={"rank": n * lora.rank, "alpha": n * lora.alpha})
    data = first.model_dump() | {
        "backbone": first.backbone.model_copy(update={"lora": wider}),
        "tasks": {task: part for one in configs for task, part in one.tasks.items()},
    }
    return JointConfig.model_validate(data)


def _joined(name: str, values: Sequence[Tensor], weight: float) -> Tensor:
    if ".lora_A." in name:
        return torch.cat(list(values), dim=0)
    return weight * torch.cat(list(values), dim=1)
