"""The best first level of a plan over the next chunks at a constant rate: the search of every MPC
here.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.jit import jit

MAX_HORIZON = 16


@jit
def best_first_levels(
    kbps: Floats,
    buffer_ms: Floats,
    last_level: Ints,
    sizes_bytes: Floats,
    utility: Floats,
    utility_before: Floats,
    stall_per_s: float,
    switch: float,
    chunk_ms: float,
    request_ms: float,
    chosen: Ints,
) -> None:
    """Fills `chosen` [n] with the first level of the plan of the greatest QoE over `sizes_bytes`
    [horizon, levels].

    An exact depth-first search: a branch is left when even the top level from there on, reached by
    the least change, cannot beat the best plan found. No buffer cap is assumed, as in the field's
    MPC.
    """
    horizon, levels = sizes_bytes.shape
    top = np.zeros(horizon + 1)
    for depth in range(horizon - 1, -1, -1):
        top[depth] = top[depth + 1] + utility[depth].max()
    level = np.zeros(horizon + 1, np.int64)
    buffer = np.zeros(horizon + 1)
    reward = np.zeros(horizon + 1)
    for i in range(len(kbps)):
        best = -np.inf
        best_level = 0
        # Level by level from the top: the highest of equal plans wins, as `>` keeps the first.
        depth = 0
        level[0] = levels
        buffer[0] = buffer_ms[i]
        reward[0] = 0.0
        while depth >= 0:
            level[depth] -= 1
            if level[depth] < 0:
                depth -= 1
                continue
            now = level[depth]
            u = utility[depth, now]
            before = (
                utility_before[last_level[i]]
                if depth == 0
                else utility[depth - 1, level[depth - 1]]
            )
            download = sizes_bytes[depth, now] * 8.0 / kbps[i] + request_ms
            stall = max(download - buffer[depth], 0.0)
            value = reward[depth] + u - stall_per_s * stall / 1000.0 - switch * abs(u - before)
            if depth + 1 == horizon:
                if value > best:
                    best = value
                    best_level = level[0]
                continue
            climb = switch * (utility[depth + 1].max() - u)
            bound = value + top[depth + 1] - max(min(climb, top[depth + 1]), 0.0)
            if switch <= 1.0 and bound <= best:
                continue
            buffer[depth + 1] = max(buffer[depth] - download, 0.0) + chunk_ms
            reward[depth + 1] = value
            depth += 1
            level[depth] = levels
        chosen[i] = best_level
