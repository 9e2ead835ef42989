"""Keeps each flow at the bandwidth estimate of its first window. A control for experiments, not a
controller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext

CWND_GAIN = 2.0


class Hold:
    """See the module. State per flow: its rate."""

    name = "hold"
    history = 1

    def __init__(self, context: PolicyContext) -> None:
        self._rate: NDArray[np.float64] = np.zeros(context.flows)  # 0: no decision yet

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        self._rate[np.asarray(flows, np.int64)] = 0

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        kept = self._rate[batch.flow]
        rate = np.where(kept > 0, kept, batch.bandwidth_bps)
        self._rate[batch.flow] = rate
        cwnd = CWND_GAIN * rate * batch.min_rtt_ns / 8e9 / batch.mss_bytes
        return Actions(rate, np.maximum(cwnd, 4.0))
