"""MPC (Yin et al., SIGCOMM 2015): plan over the next chunks at the rate that is predicted."""

from __future__ import annotations

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats, Ints
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.rules.estimate import harmonic_mean_kbps, measured_kbps
from policy.tasks.abr.rules.plan import MAX_HORIZON, best_first_levels
from policy.tasks.abr.session import Sessions


class Mpc(Stateless):
    """Plans over `horizon` chunks at `factor` times the harmonic mean of the last `window`
    throughputs.
    """

    def __init__(self, horizon: int = 5, factor: float = 1.0, window: int = 5) -> None:
        if not 1 <= horizon <= MAX_HORIZON:
            raise PolicyError(f"mpc: horizon {horizon} must lie from 1 to {MAX_HORIZON}")
        if not (0 < factor <= 10 and 1 <= window <= 10):
            raise PolicyError(
                f"mpc: factor {factor:g} must lie above 0 to 10, window {window} from 1 to 10"
            )
        self.horizon, self.factor, self.window = horizon, factor, window

    def predicted_kbps(self, sessions: Sessions) -> Floats:
        """The rate that the plan counts on [n]."""
        return harmonic_mean_kbps(measured_kbps(sessions.state), self.window)

    def decide(self, sessions: Sessions) -> Ints:
        video, qoe, state = sessions.video, sessions.qoe, sessions.state
        here = slice(sessions.chunk, sessions.chunk + self.horizon)
        chosen: Ints = np.zeros(len(sessions), np.int64)
        best_first_levels(
            np.maximum(self.predicted_kbps(sessions) * self.factor, 1e-3),
            state.buffer_ms,
            state.level,
            video.sizes_bytes[here],
            qoe.utility[here],
            qoe.utility[sessions.chunk - 1],
            qoe.stall_per_s,
            qoe.switch,
            video.chunk_ms,
            0.0,
            chosen,
        )
        return chosen
