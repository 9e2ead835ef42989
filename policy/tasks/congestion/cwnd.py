"""How much may be in flight: what keeps a queue short between two decisions.

A rate is decided once per window, and capacity may halve within one; until the next decision the
queue then grows by what is sent too much. Cwnd stops that within a round trip, since ACKs clock it:
with one bandwidth-delay product in flight there is no queue, so what is allowed beyond it bounds
the queue in units of time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SPARE_PACKETS = 3.0
"""For delayed and aggregated ACKs and the pacing's own bursts."""
MIN_CWND_PACKETS = 4.0


def cwnd_packets(
    rate_bps: Floats, min_rtt_ns: Floats, mss_bytes: Floats, *, queue_ns: float, queue_rtt: float
) -> Floats:
    """Cwnd [packets, not rounded] of flows that send at `rate_bps`; all arrays [n].

    rate * (min RTT + Q) / MSS + 3, at least four, with the allowed queue Q = max(queue_ns,
    queue_rtt * min RTT).
    """
    allowed_ns = min_rtt_ns + np.maximum(queue_ns, queue_rtt * min_rtt_ns)
    packets = rate_bps * allowed_ns / 8e9 / mss_bytes + SPARE_PACKETS
    cwnd: Floats = np.maximum(packets, MIN_CWND_PACKETS)
    return cwnd
