"""The flow's bandwidth estimate: a windowed maximum of delivery rates that the application did not limit.

The maximum filter is BBR's (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 2016;
draft-cardwell-iccrg-bbr-congestion-control): what is delivered is the least that the path can carry. It is shortened
while the bottleneck's queue never empties: then the delivery rate is the flow's share itself, and an older maximum is
history.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.fields import ESTIMATE
from policy.folding import update_estimates

Floats = NDArray[np.float64]


class BandwidthEstimate:
    """One estimate per slot, bits per second; 0 before the first sample."""

    def __init__(self, slots: int) -> None:
        self.estimates = np.zeros(slots, ESTIMATE)  # what the loops of `policy.folding` work on
        self.bps: Floats = self.estimates["bps"]

    def forget(self, slots: NDArray[np.int64]) -> None:
        """These slots have new flows."""
        self.estimates[slots] = np.zeros(1, ESTIMATE)[0]

    def update(
        self,
        slots: NDArray[np.int64],
        *,
        delivery_rate_bps: Floats,
        sample_bps: Floats,
        steady: NDArray[np.bool_],
        standing_queue: NDArray[np.bool_],
    ) -> Floats:
        """The estimates after one more window of each slot.

        delivery_rate_bps: of the window; sample_bps: the kernel's newest sample, NaN: none; steady: the window's rate
        was not limited by the application nor averaged over a silence; standing_queue: the queue never emptied in it.
        A rate that is not steady counts only if it raises the estimate (tcp_bbr.c, bbr_update_bw). Without a usable
        rate in memory the estimate stays: silence says nothing about the path.
        """
        update_estimates(self.estimates, slots, delivery_rate_bps, sample_bps, steady, standing_queue)
        return self.bps[slots]
