"""What a flow's windows say of its path: the minimum RTT of its route and the bandwidth, concluded
from one window after the other, compiled.

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
RAISED_NS, RAISED_SHARE = 15e6, 0.5
"""An RTT is raised from so much above the route's minimum on, or this share of that minimum if that
is more; and a step of it is as large."""
SETTLE_WINDOWS = 2
"""With raised RTTs, in which a queue of the route before may still drain."""
FLAT_NS, FLAT_SHARE = 1e6, 0.1
"""Windows have the same minimum RTT if they differ by so much at most, or by this share of what it
is raised by if that is more."""
FLAT_WINDOWS, FLAT_RTTS = 5, 3
"""A flow has seen enough of a raised RTT after so many windows and RTTs."""
LESS = 0.7
"""A flow sends less if it has this part in flight at most."""
OWN_SHARE = 0.5
"""Of what the RTT is raised by: the queue that a flow's own data can make is shorter."""
BURST_ACKS = 4
"""A burst of fewer has no rate to tell of."""
SAME_NS, SAME_SHARE = 2e6, 0.03
"""Routes of RTTs that differ by so much, or by this share if that is more, are one."""


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


@inner
def _raised_ns(rtt_ns: float) -> float:
    """How much is a step of the RTT, from this one up."""
    return max(RAISED_NS, RAISED_SHARE * rtt_ns)


@inner
def _watch(estimate: Any, row: Any, seen: Any) -> None:
    """One more window in which every RTT was raised."""
    # A single ACK may have been delayed at the receiver.
    if estimate.windows > 0 and seen.samples < 2 and row.rtt_min_ns > estimate.low_ns:
        return
    if estimate.windows > 0 and row.rtt_min_ns - estimate.high_ns > _raised_ns(estimate.high_ns):
        estimate.windows = 0  # another step
    if estimate.windows == 0:
        estimate.raised_ns, estimate.peak_bps = seen.first_ns, 0.0
    else:
        # The first one's rate is that of the route before, or averaged over the step.
        estimate.peak_bps = max(estimate.peak_bps, row.delivery_rate_bps)
        if row.acks >= BURST_ACKS and seen.burst_bps > estimate.peak_bps:
            estimate.peak_bps = seen.burst_bps
    estimate.windows += 1
    if estimate.windows <= SETTLE_WINDOWS:
        estimate.low_ns = estimate.high_ns = row.rtt_min_ns
        estimate.most_bytes = estimate.least_bytes = row.inflight_bytes
    else:
        estimate.low_ns = min(estimate.low_ns, row.rtt_min_ns)
        estimate.high_ns = max(estimate.high_ns, row.rtt_min_ns)
        estimate.most_bytes = max(estimate.most_bytes, row.inflight_bytes)
        estimate.least_bytes = min(estimate.least_bytes, row.inflight_bytes)


@inner
def _is_longer_route(estimate: Any, seen: Any, shortest_ns: float) -> bool:
    """Whether it is the route that raises the RTT, and no queue."""
    known_ns, low_ns = estimate.known_rtt_ns, estimate.low_ns
    if known_ns > 0 and abs(low_ns - known_ns) < max(SAME_NS, SAME_SHARE * known_ns):
        return True
    raised_ns = low_ns - shortest_ns
    flat = estimate.high_ns - low_ns <= max(FLAT_NS, FLAT_SHARE * raised_ns)
    if not flat or estimate.windows <= SETTLE_WINDOWS:
        return False
    # An outage ends so, too; then what was sent since has a short RTT.
    answered = seen.last_ns - seen.newest_rtt_ns >= estimate.raised_ns
    own_ns = estimate.most_bytes * 8e9 / max(estimate.peak_bps, 1.0)
    if answered and own_ns < OWN_SHARE * raised_ns:
        return True
    watched = seen.last_ns - estimate.raised_ns > FLAT_RTTS * low_ns
    enough = watched and estimate.windows - SETTLE_WINDOWS >= FLAT_WINDOWS
    return bool(enough and estimate.least_bytes <= LESS * estimate.most_bytes)


@inner
def route(estimate: Any, row: Any, seen: Any) -> float:
    """The minimum RTT of the route that the flow has now [ns], after one more window.

    The least RTT of a flow's life is that of its shortest route. When it moves to a longer one, the
    difference looks like a queue, which no rate is low enough to drain. It is told from one in two
    ways, if every RTT of some windows is raised, and equally, from the first or second of them on:

    - The flow's own data is too little: at the rate at which its bursts are delivered, what is in
      flight makes less than half of the difference. Another flow's queue does not come from one RTT
      to the next and then stay as it is; an outage does, but what is sent after it has a short RTT,
      so that one round trip is waited for.
    - The RTT does not fall though less is in flight than before, for half a second and three RTTs.

    A single shorter RTT ends it, as in every minimum filter. A route that the flow had before is
    known again by its RTT.

    Args: estimate, row, seen: records of ESTIMATE, changed, ROW and SEEN.
    """
    shortest_ns = seen.least_rtt_ns if seen.least_rtt_ns > 0 else row.rtt_min_ns
    if seen.samples > 0 and estimate.route_rtt_ns > 0:
        estimate.route_rtt_ns = min(estimate.route_rtt_ns, row.rtt_min_ns)
        if estimate.route_rtt_ns - shortest_ns <= _raised_ns(shortest_ns):
            estimate.route_rtt_ns = 0.0
    shortest_ns = max(shortest_ns, estimate.route_rtt_ns)
    if seen.samples > 0:
        if row.rtt_min_ns - shortest_ns <= _raised_ns(shortest_ns):
            estimate.windows = 0
        else:
            _watch(estimate, row, seen)
            if _is_longer_route(estimate, seen, shortest_ns):
                estimate.route_rtt_ns = estimate.known_rtt_ns = estimate.low_ns
                estimate.windows = 0
                shortest_ns = estimate.low_ns
    return float(shortest_ns)


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
    """Complete the rows of windows that closed, those of a slot in order: `min_rtt_ns`,
    `queueing_delay_ns`, `action_log2`, `bandwidth_bps`.
    """
    for i in range(len(slot)):
        estimate: Any = estimates[slot[i]]
        row: Any = rows[i]
        window: Any = seen[i]
        asked, before = row.asked_rate_bps, estimate.bps
        ratio = asked / before if asked > 0 and before > 0 else 1.0
        row.action_log2 = np.log2(min(max(ratio, 1 / 8), 8.0))
        min_rtt = route(estimate, row, window)
        row.min_rtt_ns = min_rtt
        row.queueing_delay_ns = max(row.rtt_mean_ns - min_rtt, 0.0)
        heard, limited = row.acks > 0, row.app_limited_share >= 0.5
        standing_queue = heard and row.rtt_min_ns - min_rtt > max(5e6, 0.1 * min_rtt)
        steady = heard and not limited and window.span_ns <= 2 * row.duration_ns
        rate_bps = row.delivery_rate_bps
        burst = row.acks >= BURST_ACKS and window.burst_bps > rate_bps
        if burst and not limited and not steady:
            # The silence says nothing about the path, what came after it does.
            rate_bps, steady = window.burst_bps, True
        row.bandwidth_bps = bandwidth(estimate, rate_bps, window.sample_bps, steady, standing_queue)
