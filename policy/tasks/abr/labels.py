"""The value of every level in a visited state: take it, then follow a policy on the true trace."""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.session import Sessions


def level_values(sessions: Sessions, policy: Abr, horizon: int = 1_000_000) -> Floats:
    """Q [n, levels]: reward of the next chunk at each level plus that of up to `horizon` - 1
    chunks under `policy`.

    In units of a second of stall. `sessions` are left as they are; the policy must be one without
    memory.
    """
    n, levels = len(sessions), sessions.video.levels
    copies = sessions.take(np.repeat(np.arange(n), levels))
    total = copies.step(np.tile(np.arange(levels), n)).reward
    policy.begin(copies)
    for _ in range(min(horizon - 1, copies.chunks_left)):
        total = total + copies.step(policy.decide(copies)).reward
    values: Floats = total.reshape(n, levels) / sessions.qoe.stall_per_s
    return values
