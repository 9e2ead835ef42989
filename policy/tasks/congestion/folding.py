"""The loops of `policy.tasks.congestion.windows`: one record and one flow at a time, compiled.

A tick has few records of each of very many flows. Vectorised, folding them takes a sort and a
hundred steps of NumPy, which cost more than the arithmetic in a small tick, and pass over all data
again and again in a large one. As compiled loops it takes an eighth of the time in small ticks and
a quarter in large ones. All that the loops depend on is in this file or in the types of their
arguments: see `policy.compiled`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.compiled import compiled, inner, read_only
from policy.tasks.congestion.fields import COUNTERS, ESTIMATE, FLOW, LEVELS, MEMORY, ROW

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_ACKED, _DELIVERED, _LOST, _SENT, _PACKETS, _CE = range(len(COUNTERS))
_SRTT, _MIN_RTT, _MSS, _CWND, _INFLIGHT, _PACING = range(len(LEVELS))
MEMORY_QUEUEING = 2
"""Windows that the maximum of the bandwidth estimate spans while a queue stands."""
NEVER = -1
"""In place of a time."""
NONE, DONE = -1, -2
"""In place of a flow's next closing: there is none in this fold; all have been made."""

_f8, _i8, _b1 = types.float64, types.int64, types.boolean
_flows, _estimates, _rows = (numba.from_dtype(kind)[::1] for kind in (FLOW, ESTIMATE, ROW))


@inner
def estimated(
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
def _copy(source: Any, target: Any) -> None:
    """Element by element: compiling an assignment to a slice takes seconds."""
    for k in range(len(target)):
        target[k] = source[k]


@inner
def _reset(flow: Any) -> None:
    """Nothing is in the open window yet."""
    _copy(flow.counters, flow.base)
    flow.acks = flow.app_limited = flow.samples = 0.0
    flow.t = flow.tt = flow.rtt = flow.t_rtt = 0.0
    flow.rtt_min_ns, flow.rate_bps = np.inf, np.nan


@compiled(types.void, _flows, read_only(_i8), read_only(_i8))
def open_flows(flows: NDArray[np.void], slot: Ints, open_ns: Ints) -> None:
    """Flows begin in these slots."""
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        flow.last_ns = flow.newest_ns = flow.base_ns = flow.loss_ns = NEVER
        for k in range(len(LEVELS)):
            flow.levels[k] = 0.0
        flow.rtt_mean_ns = 0.0
        flow.closing = NONE
        flow.start_ns = open_ns[i]
        _reset(flow)


@inner
def _take(
    flow: Any,
    at_ns: int,
    counters: Ints,
    levels: Floats,
    rtt_ns: float,
    rate_bps: float,
    app_limited: bool,
) -> bool:
    """Add a record to the open window; returns whether a counter fell."""
    fell = False
    if flow.last_ns == NEVER:
        flow.base_ns = at_ns
        _copy(counters, flow.base)
    else:
        for k in range(len(COUNTERS)):
            if counters[k] < flow.counters[k]:
                flow.base[k] += counters[k] - flow.counters[k]
                fell = True
        if counters[_LOST] > flow.counters[_LOST]:
            flow.loss_ns = at_ns
    _copy(counters, flow.counters)
    _copy(levels, flow.levels)
    flow.last_ns = at_ns
    flow.acks += 1
    if app_limited:
        flow.app_limited += 1
    elif not np.isnan(rate_bps):
        flow.rate_bps = rate_bps
    if not np.isnan(rtt_ns):
        t, rtt = (at_ns - flow.start_ns) * 1e-9, rtt_ns * 1e-9
        flow.samples += 1
        flow.t += t
        flow.tt += t * t
        flow.rtt += rtt
        flow.t_rtt += t * rtt
        flow.rtt_min_ns = min(flow.rtt_min_ns, rtt_ns)
    return fell


@inner
def _gained(flow: Any, counter: int) -> float:
    """By how much a counter has grown in the open window. Nonsense beyond 2**53 is rounded, and yet
    not negative.
    """
    gained: float = max(flow.counters[counter] - flow.base[counter], 0.0)
    return gained


@inner
def _close(flow: Any, estimate: Any, end_ns: int, row: Any) -> None:
    """Write the row of the open window, which ends at end_ns, where the next one starts."""
    quiet, seen = flow.acks == 0, flow.last_ns != NEVER
    duration = float(end_ns - flow.start_ns)
    silence = float(end_ns - (flow.last_ns if seen else flow.start_ns))
    # From ACK to ACK, but never so short that one burst would pass for a rate.
    span = max(float(flow.last_ns - flow.base_ns), duration / 2)
    inflight = flow.levels[_INFLIGHT] * flow.levels[_MSS]
    busy = inflight > 0

    n = flow.samples
    if n > 0:
        flow.rtt_mean_ns = flow.rtt / n * 1e9
    mean = flow.rtt_mean_ns
    if quiet and busy:
        mean = max(mean, silence)
    spread = n * flow.tt - flow.t * flow.t  # n² variance of the ACKs' times, s²
    slope = 0.0
    if n >= 3 and spread > n * n * 1e-8:
        slope = (n * flow.t_rtt - flow.t * flow.rtt) / spread
    rtt_min = flow.rtt_min_ns if n > 0 else mean
    min_rtt = flow.levels[_MIN_RTT] if flow.levels[_MIN_RTT] > 0 else rtt_min

    lost, delivered = _gained(flow, _LOST), _gained(flow, _DELIVERED)
    per_span = 0.0 if quiet else 8e9 / span
    app_limited = (0.0 if busy else 1.0) if quiet else flow.app_limited / flow.acks
    asked, before = flow.levels[_PACING], estimate.bps
    ratio = asked / before if asked > 0 and before > 0 else 1.0

    row.duration_ns = duration
    row.acks = flow.acks
    row.acked_bytes = _gained(flow, _ACKED)
    row.delivery_rate_bps = delivered * per_span
    row.send_rate_bps = _gained(flow, _SENT) * per_span
    row.rtt_mean_ns = mean
    row.rtt_min_ns = rtt_min
    row.rtt_gradient = slope
    row.srtt_ns = flow.levels[_SRTT]
    row.min_rtt_ns = min_rtt
    row.queueing_delay_ns = max(mean - min_rtt, 0.0)
    row.lost_bytes = lost
    row.loss_rate = lost / max(lost + delivered, 1.0)
    row.inflight_bytes = inflight
    row.cwnd_bytes = flow.levels[_CWND] * flow.levels[_MSS]
    row.ack_spacing_ns = silence if quiet else span / flow.acks
    row.app_limited_share = app_limited
    row.ecn_share = min(_gained(flow, _CE) / max(_gained(flow, _PACKETS), 1.0), 1.0)
    row.asked_rate_bps = asked
    row.action_log2 = np.log2(min(max(ratio, 1 / 8), 8.0))
    row.since_loss_ns = -1.0 if flow.loss_ns == NEVER else float(end_ns - flow.loss_ns)
    steady = not quiet and app_limited < 0.5 and span <= 2 * duration
    standing_queue = not quiet and rtt_min - min_rtt > max(5e6, 0.1 * min_rtt)
    row.bandwidth_bps = estimated(
        estimate, row.delivery_rate_bps, flow.rate_bps, steady, standing_queue
    )

    flow.start_ns, flow.base_ns = end_ns, flow.last_ns
    _reset(flow)


@compiled(_b1, _flows, read_only(_i8), read_only(_i8))
def in_order(flows: NDArray[np.void], slot: Ints, at_ns: Ints) -> bool:
    """Whether each record comes after those before of its flow, those held included; stale ones do
    not count.
    """
    ordered = True
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        if at_ns[i] >= flow.newest_ns:
            flow.newest_ns = at_ns[i]
        elif at_ns[i] >= flow.last_ns:
            ordered = False
    return ordered


@compiled(types.void, _flows, read_only(_i8), _i8[::1])
def line_up(flows: NDArray[np.void], slot: Ints, following: Ints) -> None:
    """Closings of these slots are to come. Writes for each the flow's next one, or DONE."""
    for i in range(len(slot) - 1, -1, -1):
        flow: Any = flows[slot[i]]
        following[i] = DONE if flow.closing == NONE else flow.closing
        flow.closing = i


_columns = (
    read_only(_i8),
    read_only(_i8),
    read_only(_i8, 2),
    read_only(_f8, 2),
    read_only(_f8),
    read_only(_f8),
)
_closings = (read_only(_i8), _i8[::1], _rows)


@compiled(
    types.Tuple((_i8, _i8)), _flows, _estimates, *_closings, _b1[::1], *_columns, read_only(_b1)
)
def take_records(
    flows: NDArray[np.void],
    estimates: NDArray[np.void],
    end_ns: Ints,
    following: Ints,
    rows: NDArray[np.void],
    ahead: Flags,
    slot: Ints,
    at_ns: Ints,
    counters: Ints,
    levels: Floats,
    rtt_ns: Floats,
    rate_bps: Floats,
    app_limited: Flags,
) -> tuple[int, int]:
    """Add records, as in `policy.tasks.congestion.windows.Records` and in order of time per flow,
    to the windows that they belong to.

    Makes the closings that they are past, and marks as `ahead`, and leaves out, what is past the
    last one of its flow. Returns how many were stale and how many had a counter that fell.
    """
    stale = fell = 0
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        ahead[i] = False
        if at_ns[i] < flow.last_ns:
            stale += 1
            continue
        while flow.closing >= 0 and at_ns[i] >= end_ns[flow.closing]:
            _close(flow, estimates[slot[i]], end_ns[flow.closing], rows[flow.closing])
            flow.closing = following[flow.closing]
        if flow.closing == DONE:
            ahead[i] = True
        elif _take(flow, at_ns[i], counters[i], levels[i], rtt_ns[i], rate_bps[i], app_limited[i]):
            fell += 1
    return stale, fell


@compiled(types.void, _flows, _estimates, *_closings, read_only(_i8))
def close_rest(
    flows: NDArray[np.void],
    estimates: NDArray[np.void],
    end_ns: Ints,
    following: Ints,
    rows: NDArray[np.void],
    slot: Ints,
) -> None:
    """Make the closings of these slots that no record was past."""
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        if flow.closing == i:
            _close(flow, estimates[slot[i]], end_ns[i], rows[i])
            flow.closing = following[i]
        if flow.closing == DONE:
            flow.closing = NONE
