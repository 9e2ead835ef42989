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
        self.encoder = self.task.encoder(config, self.backbone.hidden, self.backbone.scale)
        self.head = self.task.head(config, self.backbone.hidden)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
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


def build_backbone(
    config: ModelConfig, dtype: torch.dtype = torch.float32
) -> LlmBackbone | Control:
    """The language model, or the control in its place, for the sequences of the configured task."""
    if config.kind == "nioka":
        return LlmBackbone(config.backbone, dtype)
    task = learned_task(config.task)
    return build_control(config, task.tokens(config), task.positions(config))
