"""Settings of a training on several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from policy.model.config import named_task, settings_of
from policy.model.errors import ModelError
from policy.model.joint_config import JointConfig
from policy.tasks.base import Settings
from policy.training.config import Schedule, read_settings
from settings import first_mistake


class TaskTraining(Settings):
    """What of a training is a task's own."""

    loss: SerializeAsAny[Settings] = Field(description="as the task's `loss_settings`")
    serving: SerializeAsAny[Settings] = Field(
        description="as the task's `serving_settings`; goes with the checkpoint"
    )


class MixtureConfig(Schedule):
    """Everything that decides the result, apart from the datasets.

    `batch_size` counts the samples of each task, in the mean over tasks.
    """

    model: JointConfig
    tasks: dict[str, TaskTraining] = Field(description="the same names as in model.tasks")
    shares: Literal["equal", "root"] = Field(
        default="equal",
        description="of the samples and of the loss: equal, or as the root of a task's samples",
    )
    start: str | None = Field(
        default=None,
        description="checkpoint of several tasks whose backbone is where training begins",
    )
    train_backbone: bool = Field(
        default=True, description="false: encoders, heads and task tokens alone are trained"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_tasks_say(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        model = data.get("model", {})
        names = model.get("tasks", {}) if isinstance(model, dict) else model.tasks
        given = data.get("tasks", {})
        if not isinstance(names, dict) or not isinstance(given, dict):
            return data
        if extra := sorted(given.keys() - names.keys()):
            raise ValueError(f"tasks.{extra[0]} is none of model.tasks")
        return data | {"tasks": {name: _own(name, given.get(name)) for name in names}}


def load_mixture_config(
    tasks: Sequence[str],
    path: Path | None = None,
    assignments: tuple[str, ...] = (),
    kind: str | None = None,
) -> MixtureConfig:
    """Settings for these tasks, from a YAML file and `key.inner=value` assignments.

    Raises:
        ModelError: names the file or assignment, the key and what is wrong.
    """
    if len(set(tasks)) != len(tasks) or not tasks:
        raise ModelError(f"--tasks {','.join(tasks)}: name each task once")
    data = read_settings(path, assignments, {"model.kind": ("--model", kind)})
    model = data.setdefault("model", {})
    try:
        if isinstance(model, dict):
            parts = model.get("tasks") or {}
            extra = sorted(set(parts) - set(tasks))
            if extra:
                raise ValueError(f"model.tasks.{extra[0]} is none of --tasks")
            data["model"] = model | {"tasks": {name: parts.get(name) for name in tasks}}
        return MixtureConfig.model_validate(data)
    except ValidationError as error:
        detail: object = first_mistake(error, MixtureConfig)
    except ValueError as error:
        detail = error
    raise ModelError(f"{path or 'training settings'}: {detail}")


def _own(name: str, data: Any) -> Any:
    if isinstance(data, TaskTraining):
        return data
    task = named_task(name)
    data = data or {}
    if not isinstance(data, dict):
        raise ValueError(f"tasks.{name} is no group of keys")  # noqa: TRY004 (for pydantic)
    return data | {
        "loss": settings_of(task.loss_settings, data.get("loss"), f"tasks.{name}.loss"),
        "serving": settings_of(task.serving_settings, data.get("serving"), f"tasks.{name}.serving"),
    }
