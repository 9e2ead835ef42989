"""The minimum RTT of the route that a flow has, concluded from one window after the other,
compiled.

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
from policy.tasks.congestion.fields import ESTIMATE, ROW, SEEN

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
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
JUMP_SHARE = 0.75
"""Of what the RTT is raised by: a change of the route comes at once."""
LESS = 0.7
"""A flow sends less if it has this part in flight at most."""
OWN_SHARE = 0.5
"""Of what the RTT is raised by: the queue that a flow's own data can make is shorter."""
BURST_ACKS = 4
"""A burst of fewer has no rate to tell of."""
SAME_NS, SAME_SHARE = 2e6, 0.03
"""Routes of RTTs that differ by so much, or by this share if that is more, are one."""
RECENT_NS, RECENT_RTTS = 1e9, 10
"""A longer route that a flow has left is a recent one for so long, or for so many of its RTTs if
that is longer."""
LONGEST_NS = 1e9
"""No route has more, a satellite's has .6 s: what looks like one is a queue of seconds, for which
cwnd needs no room."""


@inner
def _raised_ns(rtt_ns: float) -> float:
    """How much is a step of the RTT, from this one up."""
    return max(RAISED_NS, RAISED_SHARE * rtt_ns)


@inner
def _flat_ns(raised_ns: float) -> float:
    """By how much minimum RTTs of windows differ at most that are the same, if they are raised by
    so much.
    """
    return max(FLAT_NS, FLAT_SHARE * raised_ns)


@inner
def _is_answered(estimate: Any, seen: Any) -> bool:
    """Whether what was sent since the RTT is raised has come back."""
    return bool(seen.last_ns - seen.newest_rtt_ns >= estimate.raised_ns)


@inner
def _watch(estimate: Any, row: Any, seen: Any) -> None:
    """One more window in which every RTT was raised."""
    # A single ACK may have been delayed at the receiver.
    if estimate.windows > 0 and seen.samples < 2 and row.rtt_min_ns > estimate.low_ns:
        return
    if estimate.windows > 0 and row.rtt_min_ns - estimate.high_ns > _raised_ns(estimate.high_ns):
        estimate.windows, estimate.before_ns = 0, estimate.high_ns  # another step
    if estimate.windows == 0:
        estimate.raised_ns = seen.first_ns
        estimate.early_ns = estimate.top_ns = 0.0
        estimate.peak_bps = estimate.run_bps = 0.0
    else:
        # The first one's rate is that of the route before, or averaged over the step.
        estimate.peak_bps = max(estimate.peak_bps, row.delivery_rate_bps)
        if row.acks >= BURST_ACKS and seen.burst_bps > estimate.peak_bps:
            estimate.peak_bps = seen.burst_bps
    estimate.run_bps = max(estimate.run_bps, seen.run_bps)
    estimate.windows += 1
    estimate.top_ns = max(estimate.top_ns, row.rtt_mean_ns)
    if estimate.windows <= SETTLE_WINDOWS:
        estimate.early_ns = estimate.top_ns
        estimate.low_ns = estimate.high_ns = row.rtt_min_ns
        estimate.most_bytes = estimate.least_bytes = row.inflight_bytes
    else:
        estimate.low_ns = min(estimate.low_ns, row.rtt_min_ns)
        estimate.high_ns = max(estimate.high_ns, row.rtt_min_ns)
        estimate.most_bytes = max(estimate.most_bytes, row.inflight_bytes)
        estimate.least_bytes = min(estimate.least_bytes, row.inflight_bytes)


@inner
def _is_known(estimate: Any, rtt_ns: float) -> bool:
    """Whether this is the RTT of the longer route that the flow had before; while that is a recent
    one, a step to a longer RTT is to that route and a queue.
    """
    known_ns = estimate.known_rtt_ns
    same_ns = max(SAME_NS, SAME_SHARE * known_ns)
    stepped = estimate.recent_ns > 0 and estimate.windows <= SETTLE_WINDOWS
    return bool(
        known_ns > 0 and -same_ns < rtt_ns - known_ns and (stepped or rtt_ns - known_ns < same_ns)
    )


@inner
def _recent_ns(estimate: Any) -> float:
    """How long a longer route is a recent one after the flow has left it."""
    return float(max(RECENT_NS, RECENT_RTTS * estimate.known_rtt_ns))


@inner
def _has_just_left(estimate: Any) -> bool:
    """Whether the flow left a longer route within its RTT: what is on its way there arrives beside
    what came after it, and faster than any bottleneck would let it.
    """
    left_ns = _recent_ns(estimate) - estimate.recent_ns
    return bool(0 < left_ns <= min(estimate.known_rtt_ns, LONGEST_NS))


@inner
def _remember(estimate: Any, duration_ns: float) -> None:
    """A longer route that the flow has left, or that is not as long any more, for one more window:
    what is left of its RTT is another route's if it is still the minimum when that time is over.
    """
    route_ns = estimate.route_rtt_ns
    if estimate.known_rtt_ns - route_ns <= _raised_ns(route_ns):
        estimate.recent_ns = _recent_ns(estimate)
        return
    estimate.recent_ns = max(estimate.recent_ns - duration_ns, 0.0)
    if route_ns > 0 and estimate.recent_ns == 0:
        estimate.known_rtt_ns = route_ns
        estimate.recent_ns = _recent_ns(estimate)


@inner
def _is_longer_route(estimate: Any, seen: Any, shortest_ns: float) -> bool:
    """Whether it is the route that raises the RTT, and no queue."""
    low_ns = estimate.low_ns
    raised_ns = low_ns - shortest_ns
    if estimate.high_ns - low_ns > _flat_ns(raised_ns) or estimate.windows <= SETTLE_WINDOWS:
        return False
    # An outage ends so, too; then what was sent since has a short RTT.
    own_ns = estimate.most_bytes * 8e9 / max(estimate.peak_bps, 1.0)
    if own_ns < OWN_SHARE * raised_ns and _is_answered(estimate, seen):
        return True
    watched = seen.last_ns - estimate.raised_ns > FLAT_RTTS * low_ns
    enough = watched and estimate.windows - SETTLE_WINDOWS >= FLAT_WINDOWS
    return bool(enough and estimate.least_bytes <= LESS * estimate.most_bytes)


@inner
def _has_jumped(estimate: Any, row: Any, seen: Any, shortest_ns: float) -> bool:
    """Whether the RTT came to what it is now at once, and the flow's own data is too little for it
    at the rate of a run of ACKs. Other flows may have made such a run, but their queue does not
    come at once.
    """
    raised_ns = row.rtt_min_ns - shortest_ns
    jumped = row.rtt_min_ns - estimate.before_ns >= JUMP_SHARE * raised_ns
    flat = estimate.top_ns - min(estimate.early_ns, row.rtt_min_ns) <= _flat_ns(raised_ns)
    own_ns = row.inflight_bytes * 8e9 / max(estimate.run_bps, 1.0)
    return bool(
        jumped
        and flat
        and estimate.before_ns > 0
        and estimate.windows > 1
        and seen.samples > 1
        and own_ns < OWN_SHARE * raised_ns
        and _is_answered(estimate, seen)
    )


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
            estimate.windows, estimate.before_ns = 0, row.rtt_mean_ns
        else:
            _watch(estimate, row, seen)
            # The window in which the route changed has RTTs of both, the longer one comes last.
            known = _is_known(estimate, seen.newest_rtt_ns)
            jumped = _has_jumped(estimate, row, seen, shortest_ns)
            if known or jumped or _is_longer_route(estimate, seen, shortest_ns):
                if known:
                    shortest_ns = min(seen.newest_rtt_ns, estimate.known_rtt_ns)
                else:
                    shortest_ns = row.rtt_min_ns if jumped else estimate.low_ns
                    estimate.known_rtt_ns = shortest_ns
                estimate.route_rtt_ns = shortest_ns
                estimate.windows = 0
    if estimate.known_rtt_ns > 0:
        _remember(estimate, row.duration_ns)
    return float(shortest_ns)


@compiled(
    types.void,
    numba.from_dtype(ESTIMATE)[::1],
    read_only(types.int64),
    numba.from_dtype(ROW)[::1],
    numba.from_dtype(SEEN)[::1],
)
def follow(
    estimates: NDArray[np.void], slot: Ints, rows: NDArray[np.void], seen: NDArray[np.void]
) -> None:
    """Write `min_rtt_ns` of windows that closed, those of a slot in order, and `left` of what was
    seen in them.
    """
    for i in range(len(slot)):
        estimate: Any = estimates[slot[i]]
        row: Any = rows[i]
        window: Any = seen[i]
        row.min_rtt_ns = route(estimate, row, window)
        window.left = 1.0 if _has_just_left(estimate) else 0.0


def recent_routes(estimates: NDArray[np.void]) -> tuple[Floats, NDArray[np.bool_]]:
    """RTT of the longest route that each flow has or had lately, 0: that of its life's shortest, or
    longer than any route; and whether its minimum RTT is what is left of that one's.
    """
    known_ns, route_ns = estimates["known_rtt_ns"], estimates["route_rtt_ns"]
    recent = (estimates["recent_ns"] > 0) & (known_ns <= LONGEST_NS)
    fallen = known_ns - route_ns > np.maximum(RAISED_NS, RAISED_SHARE * route_ns)
    return np.where(recent, known_ns, 0.0), recent & (route_ns > 0) & fallen
