"""Several trained networks as one: what they agree on is right more often than each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policy.errors import PolicyError
from policy.tasks.abr.model import LevelScorer

MAX_MEMBERS = 16


class Committee(nn.Module):
    """(shared [n, SHARED], by_level [n, levels, PER_LEVEL]) to one score a level [n, levels]: the
    mean over the members of the logarithm of their softmax.
    """

    def __init__(self, members: Sequence[LevelScorer]) -> None:
        super().__init__()
        if not 1 <= len(members) <= MAX_MEMBERS:
            raise PolicyError(f"a committee of {len(members)}: it has 1 to {MAX_MEMBERS} members")
        if any(one.returns for one in members):
            raise PolicyError("a network that is asked for a return is no member of a committee")
        self.members = nn.ModuleList(members)

    def settings(self) -> dict[str, str]:
        """What a checkpoint's header says, to build the same networks again."""
        members = " ".join(f"{one.kind}:{one.width}" for one in self._scorers())
        planned = " ".join(str(one.planned) for one in self._scorers())
        return {"kind": "committee", "members": members, "planned": planned}

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        scores = [one(shared, by_level).log_softmax(dim=1) for one in self._scorers()]
        return torch.stack(scores).mean(dim=0)

    def _scorers(self) -> list[LevelScorer]:
        return [one for one in self.members if isinstance(one, LevelScorer)]
