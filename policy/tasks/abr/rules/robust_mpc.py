"""robustMPC (Yin et al., SIGCOMM 2015): MPC that divides its prediction by 1 + its worst recent
error.
"""

from __future__ import annotations

import numpy as np

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.rules.estimate import harmonic_mean_kbps, measured_kbps
from policy.tasks.abr.rules.mpc import Mpc
from policy.tasks.abr.session import HISTORY, Sessions


class RobustMpc(Mpc):
    """Ours: horizon 5, harmonic mean of 5, errors |predicted - measured| / measured of the last 5
    predictions of this video, the sizes of the right chunks, no limit on the change of level.

    `prior_error` counts as an error until `window` predictions are judged. Pensieve's program
    carries errors from the video before instead; a prior of 0 with errors reset is the plain
    variant.
    """

    def __init__(
        self, horizon: int = 5, factor: float = 1.0, window: int = 5, prior_error: float = 0.0
    ) -> None:
        super().__init__(horizon, factor, window)
        if window > HISTORY // 2 or prior_error < 0:
            raise PolicyError(
                f"robust-mpc: window {window} must lie from 1 to {HISTORY // 2}, "
                f"prior_error {prior_error:g} at 0 or above"
            )
        self.prior_error = prior_error

    def predicted_kbps(self, sessions: Sessions) -> Floats:
        kbps = measured_kbps(sessions.state)
        judged = min(sessions.chunk - 1, self.window)
        worst = np.full(len(sessions), self.prior_error if judged < self.window else 0.0)
        for back in range(1, judged + 1):
            predicted = harmonic_mean_kbps(kbps[:, :-back], self.window)
            error = np.abs(predicted - kbps[:, -back]) / kbps[:, -back]
            worst = np.maximum(worst, error)
        predicted_kbps: Floats = harmonic_mean_kbps(kbps, self.window) / (1 + worst)
        return predicted_kbps
