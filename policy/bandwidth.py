"""The flow's bandwidth estimate: a windowed maximum of delivery rates that the application did not limit.

The maximum filter is BBR's (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 2016;
draft-cardwell-iccrg-bbr-congestion-control): what is delivered is the least that the path can carry. It is shortened
while the bottleneck's queue never empties: then the delivery rate is the flow's share itself, and an older maximum is
history.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MEMORY = 10
"""Windows that the maximum spans."""
MEMORY_QUEUEING = 2
"""The same while a queue stands."""


class BandwidthEstimate:
    """One estimate per slot, bits per second; 0 before the first sample."""

    def __init__(self, slots: int) -> None:
        self.bps: Floats = np.zeros(slots)
        self._samples: Floats = np.zeros((slots, MEMORY))  # ring, 0: not usable
        self._position = np.zeros(slots, np.int64)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """These slots have new flows."""
        self.bps[slots] = 0
        self._samples[slots] = 0

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
        # While the queue does not empty, the window's own rate is exact; else the newest sample may be ahead of it.
        newest = np.fmax(delivery_rate_bps, np.where(standing_queue | ~steady, 0.0, sample_bps))
        usable = steady | (newest > self.bps[slots])
        position = self._position[slots]
        self._samples[slots, position] = np.where(usable, newest, 0.0)
        self._position[slots] = (position + 1) % MEMORY
        longest = self._samples[slots].max(axis=1)
        recent = [self._samples[slots, (position - k) % MEMORY] for k in range(MEMORY_QUEUEING)]
        shortest = np.maximum.reduce(recent)
        estimate = np.where(standing_queue & (shortest > 0), shortest, longest)
        self.bps[slots] = np.where(estimate > 0, estimate, self.bps[slots])
        return self.bps[slots]
