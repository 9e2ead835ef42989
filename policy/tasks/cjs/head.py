"""Which candidate, and how many executors: a score for each pair, in one pass."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from policy.tasks.cjs.inputs import CLASSES, SHAPES

_WIDTH = 64
_COMMON = 50.0


class PointerHead(nn.Module):
    """([n, candidates, hidden], inputs) -> log probabilities [n, candidates, classes].

    A candidate is scored by its own output vector with weights that all share, and the classes are
    conditioned on the candidate. Candidates that do not exist are -inf, and so are classes beyond
    the executors at hand and all but the first class of passing.

    With `proposed`, every pair that no rule proposes is -inf as well, and a rule's weight is added
    to what it proposes: an untrained head follows the first rule. Where no proposal is among the
    candidates, all are allowed.
    """

    def __init__(self, hidden: int, proposed: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.shared = nn.Sequential(nn.Linear(hidden, _WIDTH), nn.GELU())
        self.score = nn.Linear(_WIDTH, 1)
        self.classes = nn.Linear(_WIDTH, len(CLASSES))
        lower = torch.tensor([0, *CLASSES[:-1].tolist()], dtype=torch.float32)
        self.lower: Tensor
        self.register_buffer("lower", lower, persistent=False)
        # Between classes, in their logarithm.
        numbers = torch.tensor(CLASSES.tolist(), dtype=torch.float32)
        between = (numbers[:-1] * numbers[1:]).sqrt()
        self.above: Tensor
        self.below: Tensor
        self.register_buffer("above", torch.cat([torch.zeros(1), between]), persistent=False)
        self.register_buffer("below", torch.cat([between, torch.tensor([1e9])]), persistent=False)
        self.rule = nn.Parameter(torch.zeros(SHAPES["proposed"][-1])) if proposed else None
        if self.rule is not None:
            nn.init.constant_(self.rule[:1].data, 2.0)

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
        return joint if self.rule is None else self._proposed(joint, inputs["proposed"], exists)

    def _proposed(self, joint: Tensor, proposed: Tensor, exists: Tensor) -> Tensor:
        assert self.rule is not None
        executors = proposed.float()[..., None]
        # [n, candidates, rules, classes]
        says = ((executors > self.above) & (executors <= self.below)).float()
        votes = says.sum(dim=2) * exists[..., None].float()
        some = votes.sum(dim=(1, 2), keepdim=True) > 0
        prior = (says * self.rule[:, None]).sum(dim=2)
        # Finite before the sum, so that its gradient is finite too.
        joint = torch.where(torch.isinf(joint), torch.full_like(joint, -1e4), joint) + prior
        # ONNX Runtime has no `Where` that gives truth values.
        allowed = (some & (votes > 0)) | (~some & (joint > -1e3))
        joint = joint.masked_fill(~allowed, float("-inf"))
        return joint.flatten(1).log_softmax(dim=-1).view_as(joint)
