"""What players know, in arrays or tensors: what every formula of the observation reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policy.tasks.abr.plan_table import PlanTable

Array = Any
"""An array of NumPy or a tensor of PyTorch."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What n players know, float32 but for the whole numbers `chunk`, `level` [n] and `row`
    [levels].

    Histories [n, HISTORY] hold the last chunks, newest last, and 0 where there was none yet;
    `utilities` and `size_bits_ahead` are [chunks, levels], utilities over what a second of stall
    costs.
    """

    size_bits: Array
    download_ms: Array
    buffer_ms: Array
    level: Array
    chunk: Array
    chunks_left: Array
    row: Array
    rates_kbps: Array
    utilities: Array
    size_bits_ahead: Array
    chunk_ms: float
    buffer_cap_ms: float
    switch: float
    plans: PlanTable
