"""Small networks trained from scratch, in the backbone's place: same tokens in, same head
behind.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from policy.model.config import ModelConfig


class Control(nn.Module):
    """[n, T, hidden] -> the last outputs [n, positions, hidden], with the attributes of
    `LlmBackbone` that the model needs.
    """

    scale = 1.0

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class Gru(Control):
    """Tokens [n, T, hidden] -> the states after the last ones [n, positions, hidden]."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__(hidden)
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)

    def forward(self, tokens: Tensor, positions: int = 1) -> Tensor:
        states: Tensor = self.gru(tokens)[0]
        return states[:, -positions:]


class Mlp(Control):
    """All tokens at once [n, T, hidden] -> [n, positions, hidden]."""

    def __init__(self, tokens: int, hidden: int, layers: int, positions: int = 1) -> None:
        super().__init__(hidden)
        widths = [tokens * hidden] + [hidden] * (layers - 1) + [positions * hidden]
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(a, b), nn.GELU()) for a, b in itertools.pairwise(widths))
        )

    def forward(self, tokens: Tensor, positions: int = 1) -> Tensor:
        out: Tensor = self.layers(tokens.flatten(1))
        # Not `view(len(out), ...)`: len is a number, and an export would hold for that batch alone.
        return out.reshape(-1, positions, self.hidden)


class Direct(Control):
    """The last tokens as they are: encoder and head of a task without anything between."""

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        # Trained parameters are what says which type a model computes in.
        self.gain = nn.Parameter(torch.ones(hidden))

    def forward(self, tokens: Tensor, positions: int = 1) -> Tensor:
        return tokens[:, -positions:] * self.gain


class Transformer(Control):
    """A causal pre-norm transformer [n, T, hidden] -> the last outputs [n, positions, hidden], for
    at most `tokens` tokens.
    """

    def __init__(self, tokens: int, hidden: int, layers: int, heads: int) -> None:
        super().__init__(hidden)
        layer = nn.TransformerEncoderLayer(
            hidden,
            heads,
            4 * hidden,
            dropout=0.1,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False
        )
        self.mask: Tensor
        self.register_buffer(
            "mask", torch.full((tokens, tokens), float("-inf")).triu(diagonal=1), persistent=False
        )

    def forward(self, tokens: Tensor, positions: int = 1) -> Tensor:
        length = tokens.shape[1]
        mask = self.mask[:length, :length].to(tokens.dtype)
        out: Tensor = self.encoder(tokens, mask=mask, is_causal=True)
        return out[:, -positions:]


def build_control(config: ModelConfig, tokens: int, positions: int) -> Control:
    """The control that `config.kind` names, for sequences of `tokens` tokens of which the last
    `positions` outputs are read.
    """
    size = config.control
    if config.kind == "gru":
        return Gru(size.hidden, size.layers)
    if config.kind == "direct":
        return Direct(size.hidden)
    if config.kind == "mlp":
        return Mlp(tokens, size.hidden, size.layers, positions)
    return Transformer(tokens, size.hidden, size.layers, size.heads)
