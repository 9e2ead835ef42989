"""What a checkpoint says of itself, read without PyTorch, and where the bundled ones lie.

`config.json` holds the format, the model's configuration, the backbone's fingerprint, the files'
hashes, the task's fields and serving settings, the training record and, after `tbtest models
export`, the portable file. Of a checkpoint of several tasks (format 2) `model` is a `JointConfig`,
and what is a task's own stands under `tasks`, by its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.model.config import ModelConfig, settings_of
from policy.model.errors import ModelError
from policy.model.joint_config import JointConfig
from policy.model.weights import sha256
from policy.tasks import registry
from policy.tasks.base import Settings, Task
from settings import first_mistake

FORMAT, JOINT_FORMAT = 1, 2
BUNDLED = registry.checkpoint_folders()
SCHEDULER_DEFAULT = "cjs/direct"
"""The bundled checkpoint that schedules clusters by default."""


class PortableRecord(BaseModel):
    """The exported file: its name in the folder, its hash and how its weights are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=r"^[\w-]+\.onnx$")
    sha256: str
    weights: str


@dataclass(frozen=True)
class CheckpointInfo:
    """What `config.json` says. `training` holds data, seeds and metrics; `target_return` conditions
    a decision transformer at run time (None for the other objective); `serving` are the task's
    settings of how an output becomes an action; `portable` is None before `tbtest models
    export`. Of a checkpoint of several tasks all this is one task's; `tasks` names all, and `joint`
    is the whole configuration."""

    folder: Path
    model: ModelConfig
    backbone_fingerprint: str | None
    target_return: float | None
    training: dict[str, Any]
    serving: Settings
    portable: PortableRecord | None = None
    joint: JointConfig | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Of all that the checkpoint decides."""
        return (self.model.task,) if self.joint is None else tuple(self.joint.tasks)

    def file(self, part: str) -> Path:
        """Where a part's tensors lie: encoder, backbone or head."""
        own = "" if self.joint is None or part == "backbone" else f"{self.model.task}."
        return self.folder / f"{own}{part}.safetensors"

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir())


def read_info(folder: Path, task: str | None = None, *, portable: bool = True) -> CheckpointInfo:
    """Read and check everything but the weights' values.

    task: of a checkpoint of several tasks the one that is wanted; None: the default task, or the
    first. portable: whether the portable file must be whole, which an export replaces.

    Raises: ModelError: not a checkpoint, of another format or field list, not for that task, or a
        file is missing or damaged.
    """
    path = folder / "config.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a checkpoint: it has no config.json") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(record, dict) or record.get("format") not in (FORMAT, JOINT_FORMAT):
        found = record.get("format") if isinstance(record, dict) else None
        raise ModelError(
            f"{path}: format {found!r}, but this version reads formats {FORMAT} and "
            f"{JOINT_FORMAT}; train it anew"
        )
    try:
        joint = None
        if record["format"] == JOINT_FORMAT:
            joint = JointConfig.model_validate(record["model"])
            record |= _of_task(record, joint, task)
        model = ModelConfig.model_validate(record["model"])
        _check_task(folder, (model.task,) if joint is None else tuple(joint.tasks), task)
        decided = registry.learned_task(model.task)
        serving = settings_of(decided.serving_settings, record.get("serving"), "serving")
        files = dict(record["files"])
        info = CheckpointInfo(
            folder,
            model,
            record["backbone_fingerprint"],
            record["target_return"],
            dict(record["training"]),
            serving,
            PortableRecord.model_validate(record["portable"]) if "portable" in record else None,
            joint,
        )
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        detail = first_mistake(error) if isinstance(error, ValidationError) else error
        raise ModelError(f"{path} is malformed: {detail}") from None
    if record.get("fields") != list(decided.fields):
        raise ModelError(
            f"{path}: trained on other fields than the task {decided.name} has in this version; "
            "train it anew"
        )
    if info.portable is not None and portable:
        files[info.portable.file] = info.portable.sha256
    for name, digest in files.items():
        file = folder / name
        if Path(name).name != name or not file.is_file() or sha256(file) != digest:
            remedy = "restore the checkpoint"
            if info.portable is not None and name == info.portable.file:
                remedy += f", or make it again: tbtest models export {folder}"
            raise ModelError(f"{file} is missing or damaged; {remedy}")
    return info


def _of_task(record: dict[str, Any], joint: JointConfig, task: str | None) -> dict[str, Any]:
    """One task's own entries, as a checkpoint of that task alone has them."""
    default = registry.DEFAULT if registry.DEFAULT in joint.tasks else next(iter(joint.tasks))
    chosen = task if task in joint.tasks else default
    return {"model": joint.of(chosen), **record["tasks"][chosen]}


def _check_task(folder: Path, known: tuple[str, ...], wanted: str | None) -> None:
    if wanted is not None and wanted not in known:
        names = ", ".join(map(repr, known))
        raise ModelError(f"{folder} is for task {names}; {wanted!r} is wanted")


def task_of_file(file: Path) -> Task:
    """The task of a checkpoint of one file (safetensors), which its header names. Raises
    ModelError.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as opened:
            name = (opened.metadata() or {}).get("task", "")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: cannot be read as safetensors: {error}") from None
    if name not in registry.names():
        raise ModelError(f"{file}: names no task; it is no checkpoint of one file")
    return registry.task(name)


def bundled() -> dict[str, Path]:
    """Checkpoints that ship with the project, by name; those of one other task than the default
    as `task/name`.
    """
    plain = (registry.DEFAULT, registry.SEVERAL)
    return {
        (path.name if task in plain else f"{task}/{path.name}"): path
        for task, folder in BUNDLED.items()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if (path / "config.json").is_file()
    }


def model_folder(name: str, task: str) -> Path | None:
    """Folder of a model by its path, or by the name under which one ships that has a part for the
    task; None for any other name. Raises ModelError.
    """
    if "/" in name and Path(name).is_dir():
        return Path(name)
    folder = bundled().get(name)
    return folder if folder is not None and task in read_info(folder).tasks else None


def resolve_scheduler(name: str) -> Path:
    """Folder of what schedules clusters under this name, `default` among them. Raises
    ModelError.
    """
    if name != "default":
        return resolve(name)
    if SCHEDULER_DEFAULT not in bundled():
        raise ModelError(
            "no scheduler of clusters ships with this version; train one (`tbtest train --task "
            "cjs`) and name its checkpoint: --scheduler policy:FOLDER"
        )
    return resolve(SCHEDULER_DEFAULT)


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
