"""Small networks that score each level with shared weights, so that any ladder fits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from policy.tasks.abr.observation import PER_LEVEL, SHARED
from policy.tasks.abr.session import HISTORY

Kind = Literal["mlp", "gru"]


class LevelEncoder(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to (vectors [n, levels, 4 width], mean
    [n, width]).

    A level's row and the shared row become one vector, to which those of the next lower and the
    next higher level and the mean of all are joined. `gru` reads the histories in order first. With
    `returns` the shared row has one more number, the return that is asked for.
    """

    def __init__(self, kind: Kind, width: int, returns: bool) -> None:
        super().__init__()
        self.history = nn.GRU(3, width // 2, batch_first=True) if kind == "gru" else None
        inputs = SHARED + returns + PER_LEVEL + (width // 2 if kind == "gru" else 0)
        self.each = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, shared: Tensor, by_level: Tensor) -> tuple[Tensor, Tensor]:
        n, levels, _ = by_level.shape
        context = shared
        if self.history is not None:
            steps = shared[:, : 3 * HISTORY].reshape(n, 3, HISTORY).transpose(1, 2)
            context = torch.cat([shared, self.history(steps)[0][:, -1]], dim=1)
        each = self.each(torch.cat([context[:, None].expand(-1, levels, -1), by_level], dim=2))
        lower = torch.cat([torch.zeros_like(each[:, :1]), each[:, :-1]], dim=1)
        higher = torch.cat([each[:, 1:], torch.zeros_like(each[:, :1])], dim=1)
        mean = each.mean(dim=1)
        all_levels = mean[:, None].expand(-1, levels, -1)
        return torch.cat([each, lower, higher, all_levels], dim=2), mean


class LevelScorer(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to one score a level [n, levels]."""

    def __init__(self, kind: Kind = "mlp", width: int = 128, returns: bool = False) -> None:
        super().__init__()
        self.kind, self.width, self.returns = kind, width, returns
        self.encoder = LevelEncoder(kind, width, returns)
        self.score = nn.Sequential(
            nn.Linear(4 * width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )

    def settings(self) -> dict[str, str]:
        """What a checkpoint's header says, to build the same network again."""
        return {"kind": self.kind, "width": str(self.width), "returns": str(self.returns)}

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        scores: Tensor = self.score(self.encoder(shared, by_level)[0])[..., 0]
        return scores
