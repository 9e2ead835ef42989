"""Who chooses levels in training: networks, and rules simple enough for a hundred thousand players.

A `Chooser` sees sessions as tensors. The rules of `rules/` are the ones that are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from policy.tasks.abr.learned import load_policy
from policy.tasks.abr.tensors import TensorSessions

MINIMUM_S = 10.0


class Chooser(Protocol):
    """Chooses the level of the next chunk."""

    def choose(self, sessions: TensorSessions) -> Tensor:
        """Levels [n]."""
        ...


class BolaChooser:
    """BOLA with the parameters of dash.js, as `bola:stable_s=...,capped=0,by_size=1`."""

    def __init__(self, stable_s: float = 30.0) -> None:
        self.stable_s = stable_s

    def choose(self, sessions: TensorSessions) -> Tensor:
        rates = sessions.video.bitrates_kbps
        utility = np.log(rates / rates[0])
        gamma_p = utility[-1] / (self.stable_s / MINIMUM_S - 1)
        device = sessions.state.buffer_ms.device
        wanted = torch.as_tensor(
            MINIMUM_S * 1000 / gamma_p * (utility + 1 + gamma_p), device=device
        )
        size = torch.as_tensor(sessions.video.sizes_bytes, device=device)[sessions.chunk]
        return ((wanted - sessions.state.buffer_ms[:, None]) / size).argmax(dim=1)


class RateChooser:
    """The highest level whose next chunk arrives, at the mean rate of the last five, within `share`
    of what is left of the buffer and a chunk.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def choose(self, sessions: TensorSessions) -> Tensor:
        state = sessions.state
        bits = state.size_bits[:, -5:].sum(dim=1)
        kbps = bits / state.download_ms[:, -5:].sum(dim=1).clamp(min=1)
        bits_ahead = torch.as_tensor(sessions.video.sizes_bytes * 8, device=kbps.device)
        needed_ms = bits_ahead[sessions.chunk] / kbps[:, None].clamp(min=1)
        allowed_ms = self.share * (state.buffer_ms + sessions.video.chunk_ms) / 2
        fits = needed_ms <= allowed_ms[:, None]
        rows = torch.arange(sessions.video.levels, device=kbps.device)
        return torch.where(fits, rows, 0).amax(dim=1)


class LatestCheckpoint:
    """The network of a file that another training still writes to: read anew when it changed."""

    def __init__(self, path: Path, device: str) -> None:
        self._path, self._device, self._changed_ns = path, device, -1

    def choose(self, sessions: TensorSessions) -> Tensor:
        changed_ns = self._path.stat().st_mtime_ns
        if changed_ns != self._changed_ns:
            self._policy, self._changed_ns = load_policy(self._path, self._device), changed_ns
        return self._policy.choose(sessions)


def rules() -> list[Chooser]:
    """Behaviours that differ widely, the best first."""
    return [
        BolaChooser(),
        BolaChooser(20.0),
        BolaChooser(45.0),
        RateChooser(0.5),
        RateChooser(0.8),
        RateChooser(1.2),
    ]
