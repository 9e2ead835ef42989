"""The observation as tensors, where training and networks of PyTorch need it."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from policy.tasks.abr.observation import by_formula
from policy.tasks.abr.plan_table import PlanTable, plan_table
from policy.tasks.abr.seen import Seen
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.tensors import TensorSessions

_moved: WeakKeyDictionary[PlanTable, dict[str, PlanTable]] = WeakKeyDictionary()


def observe(
    sessions: Sessions | TensorSessions, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """As `observation.observe`, on a device."""

    def tensor(values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64).to(device).float()

    video, state, qoe = sessions.video, sessions.state, sessions.qoe
    # Sessions as arrays stand all at one chunk, those as tensors each at its own.
    chunk = torch.as_tensor(sessions.chunk, device=device).expand(len(sessions))
    cap_ms = float(sessions.buffer_cap_ms)
    if isinstance(sessions, Sessions):
        plans = plan_table(video, qoe, cap_ms, sessions.chunk)
    else:
        plans = plan_table(video, qoe, cap_ms, block=video.chunks)
    seen = Seen(
        size_bits=tensor(state.size_bits),
        download_ms=tensor(state.download_ms),
        buffer_ms=tensor(state.buffer_ms),
        level=torch.as_tensor(state.level, device=device),
        chunk=chunk,
        chunks_left=(video.chunks - chunk).float(),
        row=torch.arange(video.levels, device=device),
        rates_kbps=tensor(video.bitrates_kbps),
        utilities=tensor(qoe.utility / qoe.stall_per_s),
        size_bits_ahead=tensor(video.sizes_bytes * 8),
        chunk_ms=float(video.chunk_ms),
        buffer_cap_ms=cap_ms,
        switch=float(qoe.switch),
        plans=_on(device, plans),
    )
    shared, by_level = by_formula(torch, seen)
    return shared, by_level


def _on(device: torch.device | str, table: PlanTable) -> PlanTable:
    """The same table as a tensor there, as long as the table is kept."""
    by_device = _moved.setdefault(table, {})
    if str(device) not in by_device:
        values = torch.as_tensor(table.values, device=device)
        by_device[str(device)] = replace(table, values=values)
    return by_device[str(device)]
