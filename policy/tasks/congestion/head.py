"""The action decoder: one output vector -> one bounded number, for `cwnd.rate_and_cwnd`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class BoundedHead(nn.Module):
    """[n, 1, hidden] -> [n] in (-1, 1): the log2 multiplier on the flow's bandwidth estimate."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)  # backbones end at very different scales
        self.linear = nn.Linear(hidden, 1)
        nn.init.normal_(self.linear.weight, std=0.1 / hidden**0.5)  # start near "keep the estimate"
        nn.init.zeros_(self.linear.bias)

    def forward(self, vectors: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.tanh(self.linear(self.norm(vectors[:, 0]))).squeeze(-1)
