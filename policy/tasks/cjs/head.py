"""Which candidate, and how many executors: a score for each pair, in one pass."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy.tasks.cjs.inputs import CLASSES

_WIDTH = 64
_COMMON = 50.0


class PointerHead(nn.Module):
    """([n, candidates, hidden], inputs) -> log probabilities [n, candidates, classes].

    A candidate is scored by its own output vector with weights that all share, and the classes are
    conditioned on the candidate. Candidates that do not exist are -inf, and so are classes beyond
    the executors at hand and all but the first class of passing.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.shared = nn.Sequential(nn.Linear(hidden, _WIDTH), nn.GELU())
        self.score = nn.Linear(_WIDTH, 1)
        self.classes = nn.Linear(_WIDTH, len(CLASSES))
        lower = torch.tensor([0, *CLASSES[:-1].tolist()], dtype=torch.float32)
        self.lower: Tensor
        self.register_buffer("lower", lower, persistent=False)

    def forward(self, vectors: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        shared = self.shared(self.norm(vectors))
        exists = inputs["exists"] > 0.5
        score = self.score(shared).squeeze(-1).float()
        score = score.masked_fill(~exists, float("-inf")).log_softmax(dim=-1)
        cluster = inputs["cluster"].float()
        # Features 0 and 4: executors to commit / executors, executors / 50.
        at_hand = cluster[:, 0] * cluster[:, 4] * _COMMON
        beyond = self.lower[None] >= at_hand[:, None].clamp(min=1.0) - 0.5
        beyond = beyond[:, None].expand(-1, vectors.shape[1], -1).clone()
        beyond[:, 0, 1:] = True
        beyond[:, :, 0] = False
        classes = self.classes(shared).float().masked_fill(beyond, float("-inf"))
        joint: Tensor = score[..., None] + classes.log_softmax(dim=-1)
        return joint
