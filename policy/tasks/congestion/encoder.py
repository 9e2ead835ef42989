"""From a window history to token vectors in the backbone's embedding space.

One causal 1D CNN per feature group reads the history and strides over `patch` windows, a linear
projector maps the result into the backbone's hidden size, a learned time embedding marks the step,
and one LayerNorm is shared by all tokens (NetLLM, SIGCOMM'24, and Trailblazer, arXiv 2512.11839).
The sequence is a decision transformer's (arXiv 2106.01345): for each step [return-to-go], [action
in effect], state. A decision is read at the last state token. Windows that do not exist are zeros
with a zero in the validity channel, so shapes are static and no attention mask is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.tasks.base import TaskConfig
from policy.tasks.congestion.features import CHANNELS, GROUPS, normalise
from policy.tasks.congestion.settings import encoder_of, steps

_ACTION = CHANNELS.index("action")


def tokens_per_step(config: TaskConfig) -> int:
    """Tokens that one patch of windows becomes."""
    encoder = encoder_of(config)
    states = len(GROUPS) if encoder.state_tokens == "group" else 1
    return states + int(encoder.action_token) + int(config.objective == "decision-transformer")


class GroupCnn(nn.Module):
    """[n, w, channels + 1] -> [n, w / patch, out]: a causal convolution, then one that strides over
    a patch.
    """

    def __init__(self, channels: int, out: int, kernel: int, patch: int) -> None:
        super().__init__()
        self.pad = kernel - 1
        self.window = nn.Conv1d(channels + 1, out, kernel)
        self.patch = nn.Conv1d(out, out, patch, stride=patch)

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(features.transpose(1, 2), (self.pad, 0))
        hidden = functional.gelu(self.window(padded))
        return functional.gelu(self.patch(hidden)).transpose(1, 2)


class WindowEncoder(nn.Module):
    """Inputs of the congestion-control task -> tokens [n, T, hidden]."""

    def __init__(self, config: TaskConfig, hidden: int, scale: float) -> None:
        super().__init__()
        encoder = encoder_of(config)
        self.patch = encoder.patch
        self.group_tokens = encoder.state_tokens == "group"
        self.cnns = nn.ModuleList(
            GroupCnn(len(group.channels), encoder.channels, encoder.kernel, encoder.patch)
            for group in GROUPS
        )
        width = encoder.channels
        self.projectors = nn.ModuleList(
            [nn.Linear(width, hidden) for _ in GROUPS]
            if self.group_tokens
            else [nn.Linear(width * len(GROUPS), hidden)]
        )
        self.action = nn.Linear(encoder.patch, hidden) if encoder.action_token else None
        self.return_to_go = (
            nn.Linear(1, hidden) if config.objective == "decision-transformer" else None
        )
        self.objective = nn.Linear(1, hidden) if encoder.objective else None
        if self.objective is not None:  # as without, until it is trained
            nn.init.zeros_(self.objective.weight)
            nn.init.zeros_(self.objective.bias)
        self.time = nn.Embedding(steps(config), hidden)
        self.norm = nn.LayerNorm(hidden)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.tokens(self.features(inputs), inputs)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The normalised history, [n, w, channels]."""
        return normalise(
            inputs["windows"],
            inputs["valid"],
            inputs["bandwidth_bps"],
            inputs["min_rtt_ns"],
            inputs["mss_bytes"],
        )

    def tokens(self, features: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Tokens of features [n, w, channels]; of the inputs, what is no feature is read."""
        exists = inputs["valid"].float()[..., None]
        groups = features.split([len(group.channels) for group in GROUPS], dim=-1)
        states = [
            cnn(torch.cat([group, exists], dim=-1))
            for cnn, group in zip(self.cnns, groups, strict=True)
        ]
        if not self.group_tokens:
            states = [torch.cat(states, dim=-1)]
        step = [project(state) for project, state in zip(self.projectors, states, strict=True)]
        if self.action is not None:
            taken = features[..., _ACTION].unflatten(1, (-1, self.patch))
            step.insert(0, self.action(taken))
        if self.return_to_go is not None:
            wanted = inputs["return_to_go"].float()[:, self.patch - 1 :: self.patch, None]
            step.insert(0, self.return_to_go(wanted))
        tokens = torch.stack(step, dim=2) + self.time.weight[:, None, :]
        if self.objective is not None:
            wanted = 2.0 * inputs["objective"].float()[:, None] - 1.0
            tokens = tokens + self.objective(wanted)[:, None, None, :]
        normed: Tensor = self.norm(tokens.flatten(1, 2))
        return normed
