"""A ladder as tokens: one for what all levels share, one per level, lowest first; and the scores.

As `llm.py`, for ladders that are padded to one length.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy.tasks.abr.layout import SHARED, UNPLANNED

_WIDTH = 64


class LadderEncoder(nn.Module):
    """Inputs of the task -> tokens [n, 1 + levels, hidden]; absent levels are zeros.

    Each level sees its neighbours and the mean of all, since a causal model looks only backwards.
    """

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(SHARED + UNPLANNED, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.to_context, self.to_token = nn.Linear(width, hidden), nn.Linear(4 * width, hidden)
        self.norm = nn.LayerNorm(hidden)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        exists = inputs["exists"].float()[..., None]
        by_level = inputs["by_level"].float()
        shared = inputs["shared"].float()[:, None].expand(-1, by_level.shape[1], -1)
        each = self.each(torch.cat([shared, by_level], dim=2)) * exists
        nothing = torch.zeros_like(each[:, :1])
        lower = torch.cat([nothing, each[:, :-1]], dim=1)
        higher = torch.cat([each[:, 1:], nothing], dim=1)
        mean = each.sum(dim=1, keepdim=True) / exists.sum(dim=1, keepdim=True).clamp(min=1.0)
        levels = self.to_token(torch.cat([each, lower, higher, mean.expand_as(each)], dim=2))
        tokens: Tensor = self.norm(torch.cat([self.to_context(mean), levels * exists], dim=1))
        return tokens


class LadderHead(nn.Module):
    """([n, levels, hidden], inputs) -> scores [n, levels], -inf where there is no level."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, 1)
        )

    def forward(self, vectors: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        scores: Tensor = self.score(vectors)[..., 0].float()
        return scores.masked_fill(inputs["exists"] < 0.5, float("-inf"))
