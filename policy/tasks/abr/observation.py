"""What a learned policy sees of a session, without units: log ratios to the session's own
estimates.

The formulas stand here once, for arrays of NumPy, which is all that players and servers need, and
for tensors of PyTorch (`tensor_observation`), where training plays: `xp` is the module of the two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.tasks.abr.layout import LOOKAHEAD, PER_LEVEL, SHARED, SHARES
from policy.tasks.abr.plan_table import plan_table
from policy.tasks.abr.plans import promised
from policy.tasks.abr.seen import Array, Seen
from policy.tasks.abr.session import Sessions

__all__ = ["PER_LEVEL", "SHARED", "Seen", "by_formula", "observe"]

Observed = NDArray[np.float32]


def observe(sessions: Sessions) -> tuple[Observed, Observed]:
    """(what all levels share [n, SHARED], what differs by level [n, levels, PER_LEVEL]), float32.

    Every value is a ratio: to the harmonic mean of the last five throughputs, to the chunk's
    duration, to the buffer cap, or to the top of the ladder. The buffer is seen at several scales.
    """
    video, state, n = sessions.video, sessions.state, len(sessions)
    seen = Seen(
        size_bits=state.size_bits.astype(np.float32),
        download_ms=state.download_ms.astype(np.float32),
        buffer_ms=state.buffer_ms.astype(np.float32),
        level=state.level,
        chunk=np.full(n, sessions.chunk),
        chunks_left=np.full(n, sessions.chunks_left, np.float32),
        row=np.arange(video.levels),
        rates_kbps=video.bitrates_kbps.astype(np.float32),
        utilities=(sessions.qoe.utility / sessions.qoe.stall_per_s).astype(np.float32),
        size_bits_ahead=(video.sizes_bytes * 8).astype(np.float32),
        chunk_ms=float(video.chunk_ms),
        buffer_cap_ms=float(sessions.buffer_cap_ms),
        switch=float(sessions.qoe.switch),
        plans=plan_table(video, sessions.qoe, sessions.buffer_cap_ms, sessions.chunk),
    )
    return by_formula(np, seen)


def by_formula(xp: Any, seen: Seen) -> tuple[Array, Array]:
    """As `observe`, in arrays of the module `xp`. Arguments stand by position, since the two
    modules name them differently.
    """
    known = (seen.download_ms > 0) * xp.ones_like(seen.download_ms)
    kbps = xp.clip(seen.size_bits / xp.clip(seen.download_ms, 1e-3, None), 1e-3, None)
    estimate = known[:, -5:].sum(1) / xp.clip((known[:, -5:] / kbps[:, -5:]).sum(1), 1e-9, None)
    estimate = xp.clip(estimate, 1e-3, None)
    last = len(seen.utilities) - 1
    utility = seen.utilities[xp.clip(seen.chunk, None, last)]
    last_utility = seen.utilities[xp.clip(seen.chunk - 1, 0, None), seen.level]
    shared = _shared(xp, seen, known, kbps, estimate, last_utility)
    by_level = _by_level(xp, seen, estimate, utility, last_utility)
    plans = promised(xp, seen, known, kbps, estimate)
    return shared, xp.concatenate([by_level, plans], 2)


def _shared(
    xp: Any, seen: Seen, known: Array, kbps: Array, estimate: Array, last_utility: Array
) -> Array:
    log_kbps = xp.clip(xp.log(kbps / estimate[:, None]), -4, 4) * known
    spread = xp.sqrt(xp.square(log_kbps).sum(1) / xp.clip(known.sum(1), 1, None))
    buffer, left, rates = seen.buffer_ms, seen.chunks_left, seen.rates_kbps
    single = [
        buffer / seen.buffer_cap_ms,
        xp.log1p(buffer / seen.chunk_ms),
        xp.clip(buffer / seen.chunk_ms / 4, None, 1),
        xp.clip(buffer / 10_000, None, 3),
        left / (left + 10),
        xp.clip(left, None, 10) / 10,
        xp.clip(xp.log(estimate / rates[-1]), -4, 4),
        xp.clip(xp.log(estimate / rates[0]), -4, 4),
        last_utility,
        spread,
        xp.amin(log_kbps, 1),
        xp.zeros_like(buffer) + float(np.log(seen.chunk_ms / 4000)),
        xp.clip(xp.log(estimate / rates[seen.level]), -4, 4),
    ]
    took = xp.clip(xp.log1p(seen.download_ms / seen.chunk_ms), None, 4)
    return xp.concatenate([log_kbps, known, took, xp.stack(single, 1)], 1)


def _by_level(xp: Any, seen: Seen, estimate: Array, utility: Array, last_utility: Array) -> Array:
    last, top = len(seen.utilities) - 1, len(seen.row) - 1
    ahead = [xp.clip(seen.chunk + later, None, last) for later in range(LOOKAHEAD)]
    size_bits = xp.stack([seen.size_bits_ahead[chunk] for chunk in ahead], 2)
    # Download time of each level's next chunks over a chunk's duration [n, levels, LOOKAHEAD].
    times = size_bits / (estimate[:, None, None] * seen.chunk_ms)
    buffer = seen.buffer_ms[:, None] / seen.chunk_ms
    slack = xp.stack([buffer - times[:, :, 0] / share for share in SHARES], 2)
    ones = xp.ones_like(utility)
    row, level = seen.row[None], seen.level[:, None]
    change = utility - last_utility[:, None]
    single = [
        utility,
        change,
        xp.abs(change),
        xp.log(seen.rates_kbps / seen.rates_kbps[-1]) * ones,
        (row == level) * ones,
        (row > level) * ones,
        (row == 0) * ones,
        (row == top) * ones,
    ]
    return xp.concatenate(
        [
            xp.clip(xp.log(xp.clip(times, 1e-4, None)), -4, 4),
            xp.clip(-slack, 0, 4),
            xp.clip(slack, -1, 4) / 4,
            xp.stack(single, 2),
        ],
        2,
    )
