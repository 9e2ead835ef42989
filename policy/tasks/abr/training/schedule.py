"""How far a training is, and the running mean of what it learns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

# Of the newest weights in the mean, after many steps; more at first.
SHARE = 0.002


class Schedule:
    """So many rounds, or as many as end within `minutes` (0: no such limit)."""

    def __init__(self, rounds: int, minutes: float) -> None:
        self._rounds, self._seconds = rounds, minutes * 60
        self._began = time.monotonic()

    def left(self, done: int) -> float:
        """What is left [0, 1] after so many rounds: 1 at first; 0 where another would last too
        long.
        """
        left = 1 - done / self._rounds
        if self._seconds and done:
            passed = (time.monotonic() - self._began) / self._seconds
            left = min(left, 1 - passed) if passed * (done + 0.7) / done < 1 else 0.0
        return left


def running_mean(net: nn.Module) -> AveragedModel:
    """A copy of `net` whose weights follow it."""
    steps = itertools.count(1)

    # The library's own count lies on the GPU, and reading it would wait for that.
    @torch.no_grad()
    def mix(means: Sequence[Tensor], news: Sequence[Tensor], _: Tensor | int) -> None:
        share = max(SHARE, 9 / (10 + next(steps)))
        torch._foreach_lerp_(list(means), list(news), share)

    mean = AveragedModel(net, multi_avg_fn=mix)
    mean.eval()
    return mean
