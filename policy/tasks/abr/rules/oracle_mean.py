"""MPC that knows the mean rate of the next seconds: what a perfect forecast of the mean would be
worth.
"""

from __future__ import annotations

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.network import PAYLOAD_SHARE, Model
from policy.tasks.abr.rules.mpc import Mpc
from policy.tasks.abr.session import Sessions


class OracleMean(Mpc):
    """Plans at the true mean of the next `ahead_s` seconds. Looks into the future: a bound, not a
    policy.
    """

    def __init__(self, horizon: int = 5, factor: float = 1.0, ahead_s: float = 20.0) -> None:
        super().__init__(horizon, factor)
        self.ahead_s = ahead_s

    def predicted_kbps(self, sessions: Sessions) -> Floats:
        share = PAYLOAD_SHARE if sessions.model == Model.PENSIEVE else 1.0
        return sessions.mean_ahead_kbps(self.ahead_s) * share
