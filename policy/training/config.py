"""Settings of a training run: YAML, `--set key=value` and the record in a checkpoint are this one
type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from policy.model.config import ModelConfig, named_task, settings_of
from policy.model.errors import ModelError
from policy.tasks import registry
from policy.tasks.base import Settings
from settings import SettingsError, first_mistake, parse_yaml, read_mapping


class Schedule(Settings):
    """How long, how fast and on how many samples a training goes; the same for all tasks."""

    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    batch_size: int = Field(
        default=256, gt=0, description="samples per optimiser step, over all processes"
    )
    micro_batch: int = Field(
        default=256, gt=0, description="samples per forward pass; gradients accumulate"
    )
    max_steps: int = Field(default=4000, gt=0)
    max_seconds: float | None = Field(
        default=None,
        gt=0,
        description="stop after this time too; learning_rate falls by the larger share of the two",
    )
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    final_rate: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="share of learning_rate left at max_steps; down to it along a cosine",
    )
    clip: float = Field(default=0.25, gt=0, description="largest norm of the gradient")
    evaluate_every: int = Field(default=200, gt=0)
    evaluate_samples: int = Field(
        default=8192, gt=0, description="validation samples looked at each time"
    )
    patience: int = Field(
        default=8, gt=0, description="evaluations without progress before stopping"
    )
    precision: Literal["auto", "no", "bf16"] = Field(
        default="auto", description="auto: bf16 on CUDA"
    )


class TrainConfig(Schedule):
    """Everything that decides a training run's result, apart from the dataset."""

    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    start: str | None = Field(
        default=None,
        description="checkpoint whose weights training begins with, where names and shapes agree",
    )
    loss: SerializeAsAny[Settings] = Field(description="as the task's `loss_settings`")
    serving: SerializeAsAny[Settings] = Field(
        description="as the task's `serving_settings`; goes with the checkpoint"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_task_says(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        model = data.get("model", {})
        name = model.get("task") if isinstance(model, dict) else getattr(model, "task", None)
        task = named_task(name or registry.DEFAULT)
        return data | {
            "loss": settings_of(task.loss_settings, data.get("loss"), "loss"),
            "serving": settings_of(task.serving_settings, data.get("serving"), "serving"),
        }


def load_config(
    path: Path | None,
    assignments: tuple[str, ...] = (),
    kind: str | None = None,
    task: str | None = None,
) -> TrainConfig:
    """Settings from a YAML file, changed by `key.inner=value` assignments, the model kind and the
    task's name.

    Raises:
        ModelError: names the file or assignment, the key and what is wrong.
    """
    given = {"model.kind": ("--model", kind), "model.task": ("--task", task)}
    data = read_settings(path, assignments, given)
    try:
        return TrainConfig.model_validate(data)
    except ValidationError as error:
        source = path or "training settings"
        raise ModelError(f"{source}: {first_mistake(error, TrainConfig)}") from None


def read_settings(
    path: Path | None,
    assignments: tuple[str, ...],
    given: Mapping[str, tuple[str, str | None]],
) -> dict[str, Any]:
    """Keys and values from a YAML file, changed by options, (option, value) by key, and by
    `key.inner=value` assignments; not checked. Raises ModelError.
    """
    data: Any = {}
    if path is not None:
        try:
            data = read_mapping(path, "the settings of a training")
        except SettingsError as error:
            raise ModelError(str(error)) from None
    for key, (option, value) in given.items():
        if value is not None:
            _assign(data, key.split("."), value, f"{option} {value}")
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise ModelError(f"--set {assignment}: expected key=value")
        try:
            parsed = parse_yaml(value, f"--set {assignment}")
        except SettingsError as error:
            raise ModelError(str(error)) from None
        _assign(data, key.split("."), parsed, f"--set {assignment}")
    return dict(data)


def _assign(data: dict[str, Any], keys: list[str], value: Any, source: str) -> None:
    for key in keys[:-1]:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ModelError(f"{source}: {key} is not a group of keys")
    data[keys[-1]] = value
