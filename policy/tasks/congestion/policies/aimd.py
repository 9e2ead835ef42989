"""Additive increase, multiplicative decrease of cwnd, with slow start: Reno (RFC 5681) once per
window.

Per window: in slow start cwnd grows by what was delivered; after it by one packet per round trip;
loss halves it, at most once per round trip. It does not grow while the flow leaves half of it
unused (RFC 7661). Paced as the kernel paces (tcp_update_pacing_rate): at 2 cwnd/srtt in slow start
and 1.2 cwnd/srtt after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch, PolicyContext
from policy.tasks.congestion.cwnd import MIN_CWND_PACKETS
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]


class Aimd:
    """See the module. State per flow: cwnd, slow-start threshold, time since the last decrease."""

    name = "aimd"
    history = 1

    def __init__(self, context: PolicyContext) -> None:
        self._cwnd: Floats = np.zeros(context.flows)  # packets; 0: no decision yet
        self._ssthresh: Floats = np.full(context.flows, np.inf)
        self._since_decrease_ns: Floats = np.full(context.flows, np.inf)

    def forget(self, flows: Sequence[int]) -> None:
        """See Policy."""
        f = np.asarray(flows, np.int64)
        self._cwnd[f] = 0
        self._ssthresh[f] = self._since_decrease_ns[f] = np.inf

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """See Policy."""
        f = batch.flow
        w = batch.windows[:, -1].T
        srtt, duration = np.maximum(w[F["srtt_ns"]], batch.min_rtt_ns), w[F["duration_ns"]]
        in_force = w[F["cwnd_bytes"]] / batch.mss_bytes
        cwnd = np.where(self._cwnd[f] > 0, self._cwnd[f], np.maximum(in_force, MIN_CWND_PACKETS))
        since = self._since_decrease_ns[f] + duration
        cut = (w[F["lost_bytes"]] > 0) & (since > srtt)
        delivered_packets = w[F["delivery_rate_bps"]] * duration / 8e9 / batch.mss_bytes
        used = (
            w[F["inflight_bytes"]] + batch.mss_bytes * delivered_packets
            >= 0.5 * cwnd * batch.mss_bytes
        )
        slow_start = cwnd < self._ssthresh[f]
        step = np.where(slow_start, np.minimum(delivered_packets, cwnd), duration / srtt)
        halved = np.maximum(cwnd / 2, MIN_CWND_PACKETS)
        grown = np.where(used & (w[F["acks"]] > 0), cwnd + step, cwnd)
        self._ssthresh[f] = np.where(cut, halved, self._ssthresh[f])
        self._since_decrease_ns[f] = np.where(cut, 0, since)
        self._cwnd[f] = cwnd = np.where(cut, halved, grown)
        gain = np.where(cwnd < self._ssthresh[f], 2.0, 1.2)
        return Actions(gain * cwnd * batch.mss_bytes * 8e9 / srtt, cwnd)
