"""What a learned policy sees of a session, without units: log ratios to the session's own
estimates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from policy.tasks.abr.layout import LOOKAHEAD, PER_LEVEL, SHARED, SHARES
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.tensors import TensorSessions

__all__ = ["PER_LEVEL", "SHARED", "observe"]


def observe(
    sessions: Sessions | TensorSessions, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """(what all levels share [n, SHARED], what differs by level [n, levels, PER_LEVEL]), float32.

    Every value is a ratio: to the harmonic mean of the last five throughputs, to the chunk's
    duration, to the buffer cap, or to the top of the ladder. The buffer is seen at several scales.
    """
    video, state, qoe = sessions.video, sessions.state, sessions.qoe

    def tensor(values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64).to(device).float()

    bits, download = tensor(state.size_bits), tensor(state.download_ms)
    known = (download > 0).float()
    kbps = bits / download.clamp(min=1e-3)
    newest = kbps[:, -5:].clamp(min=1e-3)
    estimate = known[:, -5:].sum(1) / (known[:, -5:] / newest).sum(1).clamp(min=1e-9)
    estimate = estimate.clamp(min=1e-3)
    log_kbps = (kbps.clamp(min=1e-3) / estimate[:, None]).log().clamp(-4, 4) * known
    chunk_ms, cap_ms = video.chunk_ms, sessions.buffer_cap_ms
    buffer = tensor(state.buffer_ms)
    rates = tensor(video.bitrates_kbps)
    n, last = len(sessions), video.chunks - 1
    # Sessions as arrays stand all at one chunk, those as tensors each at its own.
    chunk = torch.as_tensor(sessions.chunk, device=device).expand(n)
    utilities = tensor(qoe.utility / qoe.stall_per_s)
    utility = utilities[chunk.clamp(max=last)]
    level = torch.as_tensor(state.level, device=device)
    last_utility = utilities[(chunk - 1).clamp(min=0), level]
    spread = (log_kbps.square().sum(1) / known.sum(1)).sqrt()
    lowest = torch.where(known > 0, log_kbps, torch.zeros_like(log_kbps)).amin(1)
    left = (video.chunks - chunk).float()

    def whole(value: float) -> Tensor:
        return torch.full((n,), value, device=device)

    shared = torch.cat(
        [
            log_kbps,
            known,
            (download / chunk_ms).log1p().clamp(max=4),
            torch.stack(
                [
                    buffer / cap_ms,
                    (buffer / chunk_ms).log1p(),
                    (buffer / chunk_ms / 4).clamp(max=1),
                    (buffer / 10_000).clamp(max=3),
                    left / (left + 10),
                    left.clamp(max=10) / 10,
                    (estimate / rates[-1]).log().clamp(-4, 4),
                    (estimate / rates[0]).log().clamp(-4, 4),
                    last_utility,
                    spread,
                    lowest,
                    whole(float(np.log(chunk_ms / 4000))),
                    (estimate / rates[level]).log().clamp(-4, 4),
                ],
                dim=1,
            ),
        ],
        dim=1,
    )

    chunks = (chunk[:, None] + torch.arange(LOOKAHEAD, device=device)).clamp(max=last)
    sizes_bits = tensor(video.sizes_bytes * 8)[chunks].transpose(1, 2)
    # Download time of each level's next chunks over a chunk's duration [n, levels, LOOKAHEAD].
    times = sizes_bits / (estimate[:, None, None] * chunk_ms)
    needed = times[:, :, 0]
    ahead = buffer[:, None] / chunk_ms
    shares = torch.tensor(SHARES, device=device)
    slack = ahead[..., None] - needed[..., None] / shares
    levels = video.levels
    row = torch.arange(levels, device=device)
    change = utility - last_utility[:, None]
    by_level = torch.cat(
        [
            times.clamp(min=1e-4).log().clamp(-4, 4),
            (-slack).clamp(0, 4),
            slack.clamp(-1, 4) / 4,
            torch.stack(
                [
                    utility,
                    change,
                    change.abs(),
                    (rates / rates[-1]).log().expand(n, -1),
                    (row[None] == level[:, None]).float(),
                    (row[None] > level[:, None]).float(),
                    (row == 0).float().expand(n, -1),
                    (row == levels - 1).float().expand(n, -1),
                ],
                dim=2,
            ),
        ],
        dim=2,
    )
    return shared, by_level
