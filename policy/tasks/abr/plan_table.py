"""The values of plans for a rate that wanders, in a table that is made once for a video.

Plans are made as stochastic dynamic programming: each chunk arrives at the rate before it times a
lognormal factor. As in FastMPC (Yin et al., SIGCOMM 2015) the values lie in a table by chunk, rate,
buffer and level, so that a decision reads a few of its cells, and a hundred thousand players read
the same table.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np

from policy.tasks.abr.layout import WANDERINGS
from policy.tasks.abr.plan_values import fill
from policy.tasks.abr.qoe import Qoe
from policy.tasks.abr.video import Video

Array = Any
RATES, BUFFERS = 64, 48
# Rates of a table, from the lowest bitrate over this to the highest times this.
BEYOND = 8.0
# What a chunk later is worth less: plans for a rate that is known today are no promise for long.
DISCOUNT = 0.97
# Of a long video a table has so many chunks, and is planned with so many more.
BLOCK, AHEAD = 64, 32
_KEPT = 16
_lock = Lock()
_tables: OrderedDict[bytes, PlanTable] = OrderedDict()


@dataclass(frozen=True, eq=False)
class PlanTable:
    """`values` [chunks, RATES, BUFFERS, levels, wanderings] in seconds of stall, without the switch
    to the level itself; its chunk 0 is chunk `first` of the video.

    Rates lie evenly in their logarithm from `log_kbps` on, `step` apart. Buffers are the squares of
    even steps, up to `cap` chunks.
    """

    values: Array
    first: int
    log_kbps: float
    step: float
    cap: float

    def at(self, xp: Any, chunk: Array, kbps: Array, buffer: Array) -> Array:
        """[n, levels, wanderings] for chunks [n] of the table, rates [n] and buffers [n] in chunks,
        linear in the rate's logarithm and in the buffer.
        """
        rate = xp.clip((xp.log(kbps) - self.log_kbps) / self.step, 0, RATES - 1.001)
        low_rate = xp.floor(rate)
        buffer = xp.clip(buffer, 0, self.cap * 0.999)
        low = xp.floor(xp.sqrt(buffer / self.cap) * (BUFFERS - 1))
        squares = self.cap / (BUFFERS - 1) ** 2
        part = (buffer - squares * low * low) / (squares * (2 * low + 1))
        share = rate - low_rate
        total = 0.0
        for later, of_rate in ((0, 1 - share), (1, share)):
            for more, of_buffer in ((0, 1 - part), (1, part)):
                cell = self.values[chunk, _whole(low_rate) + later, _whole(low) + more]
                total = total + (of_rate * of_buffer)[:, None, None] * cell
        return total


def plan_table(
    video: Video, qoe: Qoe, buffer_cap_ms: float, chunk: int = 0, block: int = BLOCK
) -> PlanTable:
    """The table of the `block` chunks of a video that hold `chunk`; those used last are kept."""
    first = chunk // block * block
    numbers = [video.chunk_ms, qoe.stall_per_s, qoe.switch, buffer_cap_ms, first, block]
    made_of = blake2b(np.array(numbers, np.float64).tobytes())
    for array in (video.bitrates_kbps, video.sizes_bytes, qoe.utility):
        made_of.update(array.tobytes())
    key = made_of.digest()
    with _lock:
        if key not in _tables:
            _tables[key] = _make(video, qoe, buffer_cap_ms, slice(first, first + block))
            while len(_tables) > _KEPT:
                _tables.popitem(last=False)
        _tables.move_to_end(key)
        return _tables[key]


def _make(video: Video, qoe: Qoe, buffer_cap_ms: float, kept: slice) -> PlanTable:
    planned = slice(kept.start, kept.stop + AHEAD)
    rates = video.bitrates_kbps
    log_kbps = np.linspace(np.log(rates[0] / BEYOND), np.log(rates[-1] * BEYOND), RATES)
    step, cap = float(log_kbps[1] - log_kbps[0]), buffer_cap_ms / video.chunk_ms
    chunks = min(kept.stop, video.chunks) - kept.start
    values = np.empty((len(WANDERINGS), chunks, RATES, BUFFERS, video.levels), np.float32)
    for wandering, into in zip(WANDERINGS, values, strict=True):
        band = int(np.ceil(3 * wandering / step))
        away = np.arange(-band, band + 1) * step
        shares = np.exp(-0.5 * np.square(away / max(wandering, 1e-9)))
        fill(
            np.ascontiguousarray(video.sizes_bytes[planned] * 8 / video.chunk_ms),
            np.ascontiguousarray(qoe.utility[planned] / qoe.stall_per_s),
            float(qoe.switch),
            video.chunk_ms / 1000,
            DISCOUNT,
            np.exp(log_kbps),
            cap * np.square(np.linspace(0, 1, BUFFERS)),
            shares / shares.sum(),
            band,
            into,
        )
    stacked = np.ascontiguousarray(np.moveaxis(values, 0, -1))
    return PlanTable(stacked, kept.start, float(log_kbps[0]), step, cap)


def _whole(values: Array) -> Array:
    """As indices, for arrays and tensors alike."""
    return values.astype(np.int64) if isinstance(values, np.ndarray) else values.long()
