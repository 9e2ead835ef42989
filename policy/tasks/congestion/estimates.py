"""What a flow's windows say of its path: the bandwidth, concluded from one window after the other
when the minimum RTT of its route is known (`policy.tasks.congestion.routes`), compiled.

All that the loop depends on is in this file or in the types of its arguments: see
`policy.compiled`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.compiled import compiled, inner, read_only
from policy.tasks.congestion.fields import ESTIMATE, MEMORY, ROW, SEEN

Ints = NDArray[np.int64]
MEMORY_QUEUEING = 2
"""Windows that the maximum of the bandwidth estimate spans while a queue stands."""
BURST_ACKS = 4
"""A burst of fewer has no rate to tell of."""


@inner
def bandwidth(
    estimate: Any, delivery_rate_bps: float, sample_bps: float, steady: bool, standing_queue: bool
) -> float:
    """A flow's bandwidth estimate after one more window [bit/s]: the maximum of its delivery rates
    over a few windows.

    The maximum filter is BBR's (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
    Queue 2016; draft-cardwell-iccrg-bbr-congestion-control): what is delivered is the least that
    the path can carry. It is shortened while the bottleneck's queue never empties: then the
    delivery rate is the flow's share itself, and an older maximum is history. A rate that is not
    steady counts only if it raises the estimate (tcp_bbr.c, bbr_update_bw). Without a usable rate
    in memory the estimate stays: silence says nothing about the path.

    Args:
        estimate: record of ESTIMATE, changed.
        delivery_rate_bps: of the window.
        sample_bps: the kernel's newest sample, NaN: none.
        steady: the window's rate was not limited by the application nor averaged over a silence.
        standing_queue: the queue never emptied in it.
    """
    newest = delivery_rate_bps
    # While the queue does not empty, the window's own rate is exact; else the newest sample may be
    # ahead of it.
    if steady and not standing_queue and sample_bps > newest:
        newest = sample_bps
    position = estimate.position
    estimate.samples[position] = newest if steady or newest > estimate.bps else 0.0
    estimate.position = (position + 1) % MEMORY
    longest = shortest = 0.0
    for age in range(MEMORY):
        longest = max(longest, estimate.samples[position - age])
        if age < MEMORY_QUEUEING:
            shortest = longest
    if standing_queue and shortest > 0:
        estimate.bps = shortest
    elif longest > 0:
        estimate.bps = longest
    return float(estimate.bps)


@compiled(
    types.void,
    numba.from_dtype(ESTIMATE)[::1],
    read_only(types.int64),
    numba.from_dtype(ROW)[::1],
    read_only(numba.from_dtype(SEEN)),
)
def conclude(
    estimates: NDArray[np.void], slot: Ints, rows: NDArray[np.void], seen: NDArray[np.void]
) -> None:
    """Complete the rows of windows that closed, those of a slot in order, which have their
    `min_rtt_ns`: `queueing_delay_ns`, `action_log2`, `bandwidth_bps`.
    """
    for i in range(len(slot)):
        estimate: Any = estimates[slot[i]]
        row: Any = rows[i]
        window: Any = seen[i]
        asked, before = row.asked_rate_bps, estimate.bps
        ratio = asked / before if asked > 0 and before > 0 else 1.0
        row.action_log2 = np.log2(min(max(ratio, 1 / 8), 8.0))
        min_rtt = row.min_rtt_ns
        row.queueing_delay_ns = max(row.rtt_mean_ns - min_rtt, 0.0)
        heard, limited = row.acks > 0, row.app_limited_share >= 0.5
        standing_queue = heard and row.rtt_min_ns - min_rtt > max(5e6, 0.1 * min_rtt)
        # A window after others that were skipped is as long as all of them.
        length_ns = row.duration_ns
        if 0 < estimate.length_ns < length_ns:
            length_ns = estimate.length_ns
        estimate.length_ns = length_ns
        steady = heard and not limited and window.span_ns <= 2 * length_ns
        rate_bps = row.delivery_rate_bps
        burst = row.acks >= BURST_ACKS and window.burst_bps > rate_bps
        if burst and not limited and not steady:
            # The silence says nothing about the path, what came after it does.
            rate_bps, steady = window.burst_bps, True
        sample_bps = window.sample_bps
        if window.left > 0 and before > 0:
            # What was on its way by the longer route arrives beside what came after it.
            rate_bps = min(rate_bps, before)
            sample_bps = np.nan
        row.bandwidth_bps = bandwidth(estimate, rate_bps, sample_bps, steady, standing_queue)
