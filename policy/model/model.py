"""A policy model: task encoder, backbone (LLM or control), task head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policy.model.backbone import LlmBackbone, cast_parameters
from policy.model.config import ModelConfig
from policy.model.controls import Control, build_control
from policy.model.inputs import Inputs
from policy.tasks.registry import task as task_by_name


class PolicyModel(nn.Module):
    """`Inputs` -> the task's output, in one forward pass and for all samples at once.

    NIOKA where `config.kind` is "nioka"; the controls share everything but the backbone.
    """

    def __init__(self, config: ModelConfig, backbone_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.task = task_by_name(config.task)
        self.backbone: LlmBackbone | Control = (
            LlmBackbone(config.backbone, backbone_dtype)
            if config.kind == "nioka"
            else build_control(config, self.task.tokens(config))
        )
        self.encoder = self.task.encoder(config, self.backbone.hidden, self.backbone.scale)
        self.head = self.task.head(config, self.backbone.hidden)

    def forward(self, inputs: Inputs) -> Tensor:
        tokens = self.encoder(inputs)
        vector = self.backbone(tokens.to(self.backbone.dtype))
        out: Tensor = self.head(vector.float())
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
