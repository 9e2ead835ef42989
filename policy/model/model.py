"""A policy model: task encoder, backbone (LLM or control), task head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy.model.backbone import LlmBackbone, cast_parameters
from policy.model.config import ModelConfig
from policy.model.controls import Control, build_control
from policy.tasks.registry import learned_task


class PolicyModel(nn.Module):
    """Named inputs [n, ...] -> the task's output, in one forward pass and for all samples at once.

    NIOKA where `config.kind` is "nioka"; the controls share everything but the backbone. Models of
    several tasks may be given one backbone.
    """

    def __init__(
        self,
        config: ModelConfig,
        backbone_dtype: torch.dtype = torch.float32,
        backbone: LlmBackbone | Control | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.task = learned_task(config.task)
        self.positions = self.task.positions(config)
        self.backbone = backbone or build_backbone(config, backbone_dtype)
        hidden, scale = self.backbone.hidden, self.backbone.scale
        encoder = self.task.encoder(config, hidden, scale)
        self.encoder = Named(encoder, hidden, scale) if config.task_token else encoder
        self.head = self.task.head(config, hidden)

    @property
    def tokens(self) -> int:
        """Length of the sequence that the backbone reads."""
        return tokens_of(self.config)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        if isinstance(self.backbone, LlmBackbone):
            self.backbone.activate(self.config.task)
        tokens = self.encoder(inputs)
        vectors = self.backbone(tokens.to(self.backbone.dtype), self.positions)
        out: Tensor = self.head(vectors.float(), inputs)
        return out

    def for_inference(self, device: str | torch.device, dtype: torch.dtype) -> PolicyModel:
        """Eval mode, there, with the backbone in `dtype`; encoder and head, which are small, stay
        in float32.
        """
        self.to(device).eval()
        cast_parameters(self.backbone, dtype)
        return self

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """What a checkpoint holds: everything that learns, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


class Named(nn.Module):
    """An encoder behind a learned token that names the task: [n, T, hidden] -> [n, 1 + T, hidden].

    The token starts at the root mean square `scale`, as all others do.
    """

    def __init__(self, encoder: nn.Module, hidden: int, scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.token = nn.Parameter(scale * torch.randn(hidden))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        tokens: Tensor = self.encoder(inputs)
        return torch.cat([self.token.expand(tokens.shape[0], 1, -1), tokens], dim=1)


def tokens_of(config: ModelConfig) -> int:
    """Length of the sequence that a model's backbone reads."""
    return int(config.task_token) + learned_task(config.task).tokens(config)


def build_backbone(
    config: ModelConfig, dtype: torch.dtype = torch.float32
) -> LlmBackbone | Control:
    """The language model, or the control in its place, for the sequences of the configured task."""
    if config.kind == "nioka":
        return LlmBackbone(config.backbone, dtype, [config.task])
    positions = learned_task(config.task).positions(config)
    return build_control(config, tokens_of(config), positions)
