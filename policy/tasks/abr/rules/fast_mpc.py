"""MPC from a table (FastMPC of Yin et al., SIGCOMM 2015): plans to the end of the video, for a rate
that wanders, at robustMPC's forecast.
"""

from __future__ import annotations

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.layout import WANDERINGS
from policy.tasks.abr.plan_table import plan_table
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.rules.robust_mpc import RobustMpc
from policy.tasks.abr.session import Sessions


class FastMpc(Stateless):
    """Takes the level whose best plan is worth most. `wander` is how far the rate wanders a chunk,
    one of `WANDERINGS`; later chunks count less. An untrained network decides like this rule.
    """

    def __init__(
        self, factor: float = 1.0, prior_error: float = 0.3, wander: float = WANDERINGS[0]
    ) -> None:
        if wander not in WANDERINGS:
            possible = ", ".join(f"{one:g}" for one in WANDERINGS)
            raise PolicyError(f"fast-mpc: wander {wander:g} must be one of {possible}")
        self._forecast = RobustMpc(factor=factor, prior_error=prior_error)
        self._at = WANDERINGS.index(wander)

    def decide(self, sessions: Sessions) -> Ints:
        video, qoe, state = sessions.video, sessions.qoe, sessions.state
        table = plan_table(video, qoe, sessions.buffer_cap_ms, sessions.chunk)
        kbps = self._forecast.predicted_kbps(sessions) * self._forecast.factor
        worth = table.at(
            np,
            np.full(len(sessions), sessions.chunk - table.first),
            np.maximum(kbps, 1e-3),
            state.buffer_ms / video.chunk_ms,
        )[:, :, self._at]
        before = qoe.utility[sessions.chunk - 1][state.level]
        change = np.abs(qoe.utility[sessions.chunk] - before[:, None])
        chosen: Ints = (worth - qoe.switch * change / qoe.stall_per_s).argmax(axis=1)
        return chosen
