"""Checkpoints: a folder with what was learned, and nothing else.

    config.json           what `policy.model.info` reads
    encoder.safetensors   the task's encoder
    head.safetensors      the task's head
    backbone.safetensors  LoRA adapters of an LLM, or the whole of a control
    portable.onnx         the whole model for CPUs without PyTorch, where it was exported
    README.md             the model card

The frozen backbone is not stored: it is named by id, and its fingerprint is compared on loading.
Of a model of several tasks encoder, head and portable file are there once for each, with the task's
name and a dot before the file's; `policy.model.joint_checkpoint` writes it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from policy.model.backbone import LlmBackbone, own_adapter
from policy.model.controls import Control
from policy.model.errors import ModelError
from policy.model.fingerprint import WHOLE
from policy.model.info import FORMAT, CheckpointInfo, read_info
from policy.model.model import PolicyModel
from policy.model.weights import sha256
from policy.tasks.base import Settings

PARTS = ("encoder", "backbone", "head")


def save(
    folder: Path,
    model: PolicyModel,
    *,
    card: str,
    training: dict[str, Any],
    target_return: float | None = None,
    serving: Settings | None = None,
) -> None:
    """Write a checkpoint whole: under another name first, then renamed; an existing one is
    replaced. serving: None for the task's defaults.
    """
    task = model.task
    serving = serving or task.serving_settings()
    record = {
        "format": FORMAT,
        "model": model.config.model_dump(mode="json"),
        "fields": list(task.fields),
        "backbone_fingerprint": fingerprint_of(model.backbone),
        "target_return": target_return,
        "serving": serving.model_dump(mode="json"),
        "training": training,
    }
    parts = {f"{name}.safetensors": learned(getattr(model, name)) for name in PARTS}
    write(folder, record, card, parts)


def learned(module: nn.Module) -> dict[str, Tensor]:
    """What has been trained of a module, by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def fingerprint_of(backbone: LlmBackbone | Control) -> str | None:
    """Of the frozen weights; None where there are none."""
    return backbone.fingerprint if isinstance(backbone, LlmBackbone) else None


def write(
    folder: Path, record: dict[str, Any], card: str, parts: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Write the folder: tensors by file, those without any left out, the record with the files'
    hashes, and the card.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        part.chmod(0o755)
        hashes = {}
        for name, tensors in parts.items():
            if tensors:
                values = {
                    key: value.detach().float().cpu().contiguous() for key, value in tensors.items()
                }
                save_file(values, part / name)
                hashes[name] = sha256(part / name)
        text = json.dumps(record | {"files": hashes}, indent=1)
        (part / "config.json").write_text(text + "\n")
        (part / "README.md").write_text(card)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    task: str | None = None,
    portable: bool = True,
) -> tuple[PolicyModel, CheckpointInfo]:
    """The model in eval mode, ready to infer, its backbone in `dtype`.

    task: of a checkpoint of several the one that is wanted; portable: whether the portable file
    must be whole; as for `read_info`.

    Raises:
        ModelError: see `read_info`; or the backbone or a tensor is not the one it was trained with.
    """
    info = read_info(folder, task, portable=portable)
    check_renewed(info)
    model = PolicyModel(info.model, backbone_dtype=dtype)
    check_backbone(info, model.backbone)
    for name in PARTS:
        fill(info.file(name), getattr(model, name))
    return model.for_inference(device, dtype), info


def check_renewed(info: CheckpointInfo) -> None:
    """Raises ModelError for a fingerprint of the old kind."""
    known = info.backbone_fingerprint
    if known is not None and not known.startswith(WHOLE):
        raise ModelError(
            f"{info.folder}: its fingerprint covers a part of the backbone's weights only; renew "
            f"it: python -m policy.model.renew {info.folder}"
        )


def check_backbone(info: CheckpointInfo, backbone: LlmBackbone | Control) -> None:
    """Raises ModelError where the frozen weights are others than at training."""
    if fingerprint_of(backbone) != info.backbone_fingerprint:
        raise ModelError(
            f"{info.folder}: backbone {info.model.backbone.id!r} has other weights here than it "
            "was trained with"
        )


def fill(file: Path, module: nn.Module) -> None:
    """Put stored tensors into a module. Those of adapters that it does not have are left out.

    Raises ModelError if they do not fit.
    """
    wanted, stored = learned(module), {}
    if file.exists():
        try:
            stored = load_file(file)
        except SafetensorError as error:
            raise ModelError(f"{file} is not a safetensors file: {error}") from None
    of_others = f".{own_adapter('')}"
    stored = {key: value for key, value in stored.items() if key in wanted or of_others not in key}
    if stored.keys() != wanted.keys() or any(stored[k].shape != wanted[k].shape for k in stored):
        raise ModelError(
            f"{file.parent}: its tensors do not fit the model that its config.json describes"
        )
    with torch.no_grad():
        for key, value in stored.items():
            wanted[key].copy_(value)
