"""Small networks that score each level with shared weights, so that any ladder fits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from policy.tasks.abr.layout import PER_LEVEL, PLANS, SHARED, UNPLANNED
from policy.tasks.abr.session import HISTORY

Kind = Literal["mlp", "gru"]
# The plan at robustMPC's forecast for a rate that stays (the rule `fast-mpc`), of which an
# untrained network takes the best level, and how sharply.
_FIRST_PLAN, _FIRST_WEIGHT = 3, 2.5


class LevelEncoder(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to (vectors [n, levels, 4 width], mean
    [n, width]).

    A level's row and the shared row become one vector, to which those of the next lower and the
    next higher level and the mean of all are joined. `gru` reads the histories in order first. With
    `returns` the shared row has one more number, the return that is asked for. Without `planned`
    it does not read what plans promise.
    """

    def __init__(self, kind: Kind, width: int, returns: bool, planned: bool = True) -> None:
        super().__init__()
        self.per_level = PER_LEVEL if planned else UNPLANNED
        self.history = nn.GRU(3, width // 2, batch_first=True) if kind == "gru" else None
        inputs = SHARED + returns + self.per_level + (width // 2 if kind == "gru" else 0)
        self.each = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, shared: Tensor, by_level: Tensor) -> tuple[Tensor, Tensor]:
        by_level = by_level[..., : self.per_level]
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


class PlanScores(nn.Module):
    """by_level [n, levels, PER_LEVEL] to one score a level [n, levels]: a weighted sum of what
    plans promise. What a network scores is a correction to it, which begins at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = torch.zeros(PLANS)
        weights[_FIRST_PLAN] = _FIRST_WEIGHT
        self.weights = nn.Parameter(weights)

    def forward(self, by_level: Tensor) -> Tensor:
        scores: Tensor = by_level[..., UNPLANNED:] @ self.weights
        return scores


def begin_at_plans(last: nn.Module) -> PlanScores:
    """The scores of plans, for a network whose last layer is `last`: it then begins with nothing
    to correct.
    """
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return PlanScores()


class LevelScorer(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to one score a level [n, levels].

    With `planned` it begins at the level that a plan takes, and learns a correction.
    """

    def __init__(
        self, kind: Kind = "mlp", width: int = 128, returns: bool = False, planned: bool = True
    ) -> None:
        super().__init__()
        self.kind, self.width, self.returns = kind, width, returns
        self.encoder = LevelEncoder(kind, width, returns, planned)
        self.score = nn.Sequential(
            nn.Linear(4 * width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1),
        )
        self.plans = begin_at_plans(self.score[-1]) if planned else None

    @property
    def planned(self) -> bool:
        """Whether it reads what plans promise."""
        return self.plans is not None

    def settings(self) -> dict[str, str]:
        """What a checkpoint's header says, to build the same network again."""
        return {
            "kind": self.kind,
            "width": str(self.width),
            "returns": str(self.returns),
            "planned": str(self.planned),
        }

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        scores: Tensor = self.score(self.encoder(shared, by_level)[0])[..., 0]
        return scores if self.plans is None else scores + self.plans(by_level)
