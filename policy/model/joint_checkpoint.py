"""Checkpoints of models of several tasks, written and read whole; `checkpoint.load` reads one task
of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from policy.model.checkpoint import (
    PARTS,
    check_backbone,
    check_renewed,
    fill,
    fingerprint_of,
    learned,
    write,
)
from policy.model.errors import ModelError
from policy.model.info import JOINT_FORMAT, CheckpointInfo, read_info
from policy.model.joint import JointModel
from policy.tasks.base import Settings


@dataclass(frozen=True)
class TaskRecord:
    """What a task has for itself: the return that a decision transformer is asked for (None for the
    other objective), and how an output becomes an action.
    """

    serving: Settings
    target_return: float | None = None


def save(
    folder: Path,
    model: JointModel,
    *,
    card: str,
    training: dict[str, Any],
    tasks: Mapping[str, TaskRecord],
) -> None:
    """Write a checkpoint of all tasks whole; an existing one is replaced."""
    parts = {"backbone.safetensors": learned(model.backbone)}
    entries = {}
    for name, one in model.models.items():
        parts |= {
            f"{name}.{part}.safetensors": learned(getattr(one, part))
            for part in PARTS
            if part != "backbone"
        }
        entries[name] = {
            "fields": list(one.task.fields),
            "target_return": tasks[name].target_return,
            "serving": tasks[name].serving.model_dump(mode="json"),
        }
    record = {
        "format": JOINT_FORMAT,
        "model": model.config.model_dump(mode="json"),
        "tasks": entries,
        "backbone_fingerprint": fingerprint_of(model.backbone),
        "training": training,
    }
    write(folder, record, card, parts)


def load(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> tuple[JointModel, dict[str, CheckpointInfo]]:
    """All tasks' models around one backbone, in eval mode, and what the checkpoint says of each.

    Raises:
        ModelError: as for `checkpoint.load`, or the checkpoint is of one task alone.
    """
    first = read_info(folder)
    if first.joint is None:
        raise ModelError(f"{folder} is for task {first.model.task!r} alone")
    infos = {task: read_info(folder, task) for task in first.tasks}
    check_renewed(first)
    model = JointModel(first.joint, dtype)
    check_backbone(first, model.backbone)
    fill(first.file("backbone"), model.backbone)
    for task, info in infos.items():
        fill(info.file("encoder"), model.encoders[task])
        fill(info.file("head"), model.heads[task])
    for one in model.models.values():
        one.for_inference(device, dtype)
    return model.eval(), infos
