"""Checkpoints: a folder with what was learned, and nothing else.

    config.json           what `policy.model.info` reads
    encoder.safetensors   the task's encoder
    head.safetensors      the task's head
    backbone.safetensors  LoRA adapters of an LLM, or the whole of a control
    portable.onnx         the whole model for CPUs without PyTorch, where it was exported
    README.md             the model card

The frozen backbone is not stored: it is named by id, and its fingerprint is compared on loading.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from policy.model.backbone import LlmBackbone
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        part.chmod(0o755)
        learned = model.trained_parameters()
        hashes = {}
        for name in PARTS:
            tensors = {
                key.removeprefix(f"{name}."): value.detach().float().cpu().contiguous()
                for key, value in learned.items()
                if key.startswith(f"{name}.")
            }
            if tensors:
                file = part / f"{name}.safetensors"
                save_file(tensors, file)
                hashes[file.name] = sha256(file)
        backbone = model.backbone
        record = {
            "format": FORMAT,
            "model": model.config.model_dump(mode="json"),
            "fields": list(task.fields),
            "backbone_fingerprint": backbone.fingerprint
            if isinstance(backbone, LlmBackbone)
            else None,
            "target_return": target_return,
            "serving": serving.model_dump(mode="json"),
            "files": hashes,
            "training": training,
        }
        (part / "config.json").write_text(json.dumps(record, indent=1) + "\n")
        (part / "README.md").write_text(card)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> tuple[PolicyModel, CheckpointInfo]:
    """The model in eval mode, ready to infer, its backbone in `dtype`.

    Raises:
        ModelError: see `read_info`; or the backbone or a tensor is not the one it was trained with.
    """
    info = read_info(folder)
    known = info.backbone_fingerprint
    if known is not None and not known.startswith(WHOLE):
        raise ModelError(
            f"{folder}: its fingerprint covers a part of the backbone's weights only; renew it: "
            f"python -m policy.model.fingerprint {folder}"
        )
    model = PolicyModel(info.model, backbone_dtype=dtype)
    if isinstance(model.backbone, LlmBackbone) and model.backbone.fingerprint != known:
        raise ModelError(
            f"{folder}: backbone {info.model.backbone.id!r} has other weights here than it was "
            "trained with"
        )
    learned = model.trained_parameters()
    stored: dict[str, torch.Tensor] = {}
    for name in PARTS:
        file = folder / f"{name}.safetensors"
        if file.exists():
            try:
                stored |= {f"{name}.{key}": value for key, value in load_file(file).items()}
            except SafetensorError as error:
                raise ModelError(f"{file} is not a safetensors file: {error}") from None
    if stored.keys() != learned.keys() or any(stored[k].shape != learned[k].shape for k in stored):
        raise ModelError(
            f"{folder}: its tensors do not fit the model that its config.json describes"
        )
    with torch.no_grad():
        for key, value in stored.items():
            learned[key].copy_(value)
    return model.for_inference(device, dtype), info
