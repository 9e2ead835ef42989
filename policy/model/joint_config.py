"""What a model of several tasks is made of; stored as ``model`` in its checkpoint's
``config.json``.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from policy.model.config import (
    BackboneConfig,
    ControlConfig,
    Kind,
    LoraConfig,
    ModelConfig,
    named_task,
    settings_of,
)
from policy.tasks.base import Objective, Settings

MAX_TASKS = 16
ALL_PRODUCTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Part(Settings):
    """How one task's observation is read."""

    objective: Objective = "near-optimal"
    history: int = Field(gt=0, le=1024, description="steps of the past that the model sees")
    encoder: SerializeAsAny[Settings] = Field(description="as the task's `encoder_settings`")


class JointConfig(Settings):
    """One backbone, and for each task an encoder, a head and a token."""

    kind: Kind = "nioka"
    backbone: BackboneConfig = BackboneConfig(lora=LoraConfig(targets=ALL_PRODUCTS))
    control: ControlConfig = ControlConfig()
    task_token: bool = Field(
        default=True, description="a learned token that names the task comes first"
    )
    tasks: dict[str, Part] = Field(min_length=1, max_length=MAX_TASKS)

    @model_validator(mode="before")
    @classmethod
    def _as_the_tasks_say(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("tasks"), dict):
            return data
        return data | {"tasks": {name: _part(name, part) for name, part in data["tasks"].items()}}

    @field_validator("backbone", mode="before")
    @classmethod
    def _all_products(cls, data: Any) -> Any:
        """Adapters lie on all products unless the settings name some."""
        if not isinstance(data, dict):
            return data
        lora = data.get("lora", {})
        return data | {"lora": {"targets": ALL_PRODUCTS} | lora} if isinstance(lora, dict) else data

    @model_validator(mode="after")
    def _fits_together(self) -> JointConfig:
        if self.kind == "mlp" and len(self.tasks) > 1:
            raise ValueError("an mlp reads sequences of one length; choose another kind")
        for name in self.tasks:
            named_task(name).check(self.of(name))
        return self

    def of(self, task: str) -> ModelConfig:
        """The same model as that task sees it."""
        part = self.tasks[task]
        return ModelConfig(
            task=task,
            kind=self.kind,
            backbone=self.backbone,
            control=self.control,
            task_token=self.task_token,
            objective=part.objective,
            history=part.history,
            encoder=part.encoder,
        )


def _part(name: Any, data: Any) -> Any:
    if isinstance(data, Part):
        return data
    task = named_task(name)
    if data is not None and not isinstance(data, dict):
        raise ValueError(f"tasks.{name} is no group of keys")
    data = data or {}
    encoder = settings_of(task.encoder_settings, data.get("encoder"), f"tasks.{name}.encoder")
    return {"history": task.history} | data | {"encoder": encoder}
