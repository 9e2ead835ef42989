"""Checkpoints: a folder with what was learned, and nothing else.

    config.json           format, model configuration, backbone fingerprint, file hashes, the
                          task's fields and serving settings, training record
    encoder.safetensors   the task's encoder
    head.safetensors      the task's head
    backbone.safetensors  LoRA adapters of an LLM, or the whole of a control
    README.md             the model card

The frozen backbone is not stored: it is named by id, and its fingerprint is compared on loading.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from policy.model.backbone import LlmBackbone
from policy.model.config import ModelConfig, settings_of
from policy.model.errors import ModelError
from policy.model.fingerprint import WHOLE
from policy.model.model import PolicyModel
from policy.model.weights import sha256
from policy.tasks import registry
from policy.tasks.base import Settings
from settings import first_mistake

FORMAT = 1
PARTS = ("encoder", "backbone", "head")
BUNDLED = registry.checkpoint_folders()


@dataclass(frozen=True)
class CheckpointInfo:
    """What `config.json` says. `training` holds data, seeds and metrics; `target_return` conditions
    a decision transformer at run time (None for the other objective); `serving` are the task's
    settings of how an output becomes an action."""

    folder: Path
    model: ModelConfig
    backbone_fingerprint: str | None
    target_return: float | None
    training: dict[str, Any]
    serving: Settings

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir())


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


def read_info(folder: Path) -> CheckpointInfo:
    """Read and check everything but the weights' values.

    Raises: ModelError: not a checkpoint, of another format or field list, or a file is missing or
        damaged.
    """
    path = folder / "config.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a checkpoint: it has no config.json") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise ModelError(
            f"{path}: format {found!r}, but this version reads format {FORMAT}; train it anew"
        )
    try:
        model = ModelConfig.model_validate(record["model"])
        task = registry.learned_task(model.task)
        serving = settings_of(task.serving_settings, record.get("serving"), "serving")
        files = dict(record["files"])
        info = CheckpointInfo(
            folder,
            model,
            record["backbone_fingerprint"],
            record["target_return"],
            dict(record["training"]),
            serving,
        )
    except (KeyError, TypeError, ValueError) as error:
        detail = first_mistake(error) if isinstance(error, ValidationError) else error
        raise ModelError(f"{path} is malformed: {detail}") from None
    if record.get("fields") != list(task.fields):
        raise ModelError(
            f"{path}: trained on other fields than the task {task.name} has in this version; "
            "train it anew"
        )
    for name, digest in files.items():
        file = folder / name
        if Path(name).name != name or not file.is_file() or sha256(file) != digest:
            raise ModelError(f"{file} is missing or damaged; restore the checkpoint")
    return info


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


def bundled() -> dict[str, Path]:
    """Checkpoints that ship with the project, by name; those of other tasks than the default one
    as `task/name`.
    """
    return {
        (path.name if task == registry.DEFAULT else f"{task}/{path.name}"): path
        for task, folder in BUNDLED.items()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if (path / "config.json").is_file()
    }


def resolve(name_or_path: str | Path) -> Path:
    """Folder of a bundled checkpoint or the path itself; ModelError names those bundled."""
    path = Path(name_or_path)
    if path.is_dir():
        return path
    known = bundled()
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    listed = ", ".join(known) or "none"
    raise ModelError(
        f"no checkpoint folder {str(name_or_path)!r}; bundled with this version: {listed}"
    )
