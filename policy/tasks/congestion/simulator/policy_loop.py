"""A policy of the policy server in the simulated loop."""

from __future__ import annotations

import numpy as np

from policy.api import Policy
from policy.objective import BALANCED
from policy.tasks.congestion.cwnd import helped
from policy.tasks.congestion.history import History
from policy.tasks.congestion.simulator.loop import MSS_BYTES, STEP_NS, Feedback, Floats
from policy.tasks.congestion.windows import Records, WindowFolder


class PolicyController:
    """A policy in the loop: windows close every `window_ms`; before the first decision the sender
    is in slow start.
    """

    def __init__(
        self, policy: Policy, n: int, window_ms: int = 100, objective: float = BALANCED
    ) -> None:
        self.pacing_rate_bps: Floats = np.full(n, 1e9)
        self.cwnd_packets: Floats = np.full(n, 10.0)
        self._policy, self._window_ns = policy, window_ms * STEP_NS
        self._folder, self._history = WindowFolder(n), History(n)
        self._history.objective[:] = objective
        self._all = np.arange(n)
        self._folder.open(self._all, np.zeros(n, np.int64))
        self._slow_start = np.ones(n, bool)

    def on_feedback(self, feedback: Feedback) -> None:
        """Slow start until the first decision."""
        self.cwnd_packets = (
            self.cwnd_packets + self._slow_start * feedback.delivered_bytes / MSS_BYTES
        )

    def on_records(self, records: Records, now_ns: int) -> None:
        """Fold; decide when the window closes."""
        closing = self._all if now_ns % self._window_ns == 0 else self._all[:0]
        rows, _, _ = self._folder.fold(records, closing, np.full(len(closing), now_ns))
        if not len(closing):
            return
        self._history.append(closing, rows)
        batch = self._history.batch(closing, self._folder.levels[closing, 2])
        actions = self._policy.decide(batch, now_ns)
        if getattr(self._policy, "yields", False):
            actions = helped(actions, batch, self._folder)
        self.pacing_rate_bps, self.cwnd_packets = (
            actions.pacing_rate_bps,
            np.floor(actions.cwnd_packets),
        )
        self._slow_start[:] = False
