"""Small networks that score each level with shared weights, so that any ladder fits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from policy.tasks.abr.observation import PER_LEVEL, SHARED
from policy.tasks.abr.session import HISTORY

Kind = Literal["mlp", "gru"]


class LevelScorer(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to one score a level [n, levels].

    A level's row and the shared row become one vector; the mean over the levels and the next lower
    and higher level's vectors are joined to it before it is scored. `gru` reads the histories in
    order
    first.
    """

    def __init__(self, kind: Kind = "mlp", width: int = 128) -> None:
        super().__init__()
        self.kind, self.width = kind, width
        self.history = nn.GRU(3, width // 2, batch_first=True) if kind == "gru" else None
        inputs = SHARED + PER_LEVEL + (width // 2 if kind == "gru" else 0)
        self.each = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.score = nn.Sequential(
            nn.Linear(4 * width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        n, levels, _ = by_level.shape
        context = shared
        if self.history is not None:
            steps = shared[:, : 3 * HISTORY].reshape(n, 3, HISTORY).transpose(1, 2)
            context = torch.cat([shared, self.history(steps)[0][:, -1]], dim=1)
        each = self.each(torch.cat([context[:, None].expand(-1, levels, -1), by_level], dim=2))
        lower = torch.cat([torch.zeros_like(each[:, :1]), each[:, :-1]], dim=1)
        higher = torch.cat([each[:, 1:], torch.zeros_like(each[:, :1])], dim=1)
        mean = each.mean(dim=1, keepdim=True).expand(-1, levels, -1)
        scores: Tensor = self.score(torch.cat([each, lower, higher, mean], dim=2))[..., 0]
        return scores
