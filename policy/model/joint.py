"""A model of several tasks: one backbone that all of them train and use."""

from __future__ import annotations

import torch
from torch import nn

from policy.model.backbone import LlmBackbone
from policy.model.controls import Control, build_control
from policy.model.joint_config import JointConfig
from policy.model.model import PolicyModel, tokens_of
from policy.tasks.registry import learned_task


class JointModel(nn.Module):
    """The parts of all tasks, and the backbone between each encoder and its head.

    models: for each task a `PolicyModel` of its own encoder and head and of the shared backbone;
    parameters are `backbone.*`, `encoders.TASK.*` and `heads.TASK.*`.
    """

    def __init__(self, config: JointConfig, backbone_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config, backbone_dtype)
        self.models = {
            task: PolicyModel(config.of(task), backbone=self.backbone) for task in config.tasks
        }
        self.encoders = nn.ModuleDict({name: one.encoder for name, one in self.models.items()})
        self.heads = nn.ModuleDict({name: one.head for name, one in self.models.items()})

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Everything that learns, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


def _backbone(config: JointConfig, dtype: torch.dtype) -> LlmBackbone | Control:
    if config.kind == "nioka":
        return LlmBackbone(config.backbone, dtype, config.tasks)
    parts = [config.of(task) for task in config.tasks]
    longest = max(map(tokens_of, parts))
    first = parts[0]
    return build_control(first, longest, learned_task(first.task).positions(first))
