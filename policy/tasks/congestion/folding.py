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
from policy.tasks.congestion.fields import (
    COUNTERS,
    DONE,
    FLOW,
    LEVELS,
    NEVER,
    NONE,
    ROW,
    SEEN,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_ACKED, _DELIVERED, _LOST, _SENT, _PACKETS, _CE = range(len(COUNTERS))
_SRTT, _MIN_RTT, _MSS, _CWND, _INFLIGHT, _PACING = range(len(LEVELS))
LEAST_BURST_NS = 10e6
"""Of a burst's length: what comes faster is no rate."""
LEAST_PAUSE_NS = 100e6
"""Of a pause; the frames of a video are closer to each other, and their rate is the video's."""
RUN_GAP_NS, RUN_ACKS = 20e6, 4
"""So many ACKs, so close to each other, are a run, which has a rate."""

_f8, _i8, _b1 = types.float64, types.int64, types.boolean
_flows, _rows, _seen = (numba.from_dtype(kind)[::1] for kind in (FLOW, ROW, SEEN))


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
    flow.rtt_min_ns, flow.newest_rtt_ns, flow.rate_bps = np.inf, np.nan, np.nan
    flow.run_acks = flow.run_bps = 0.0


@compiled(types.void, _flows, read_only(_i8), read_only(_i8))
def open_flows(flows: NDArray[np.void], slot: Ints, open_ns: Ints) -> None:
    """Flows begin in these slots."""
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        flow.last_ns = flow.newest_ns = flow.base_ns = flow.loss_ns = NEVER
        for k in range(len(LEVELS)):
            flow.levels[k] = 0.0
        flow.rtt_mean_ns = 0.0
        flow.closing, flow.paused = NONE, 0
        flow.start_ns = open_ns[i]
        _reset(flow)


@inner
def _delivered_bps(delivered: float, acked_ns: float, first_rtt_ns: float, rtt_ns: float) -> float:
    """Delivery rate [bit/s] from one ACK to another, over the longer one of the times in which it
    was acknowledged and in which it was sent, since a path may hold ACKs back and deliver them
    together (draft-cheng-iccrg-delivery-rate-estimation).
    """
    sent_ns = acked_ns + first_rtt_ns - rtt_ns
    # Without RTT samples the comparison is false.
    longer_ns = sent_ns if sent_ns > acked_ns else acked_ns
    return max(delivered, 0.0) * 8e9 / max(longer_ns, LEAST_BURST_NS)


@inner
def _run(flow: Any, at_ns: int, delivered: int, rtt_ns: float) -> None:
    """One more ACK of a run, or the first of another one."""
    if flow.run_acks == 0 or at_ns - flow.last_ns > RUN_GAP_NS:
        flow.run_acks = 0.0
        flow.run_ns, flow.run_rtt_ns, flow.run_delivered = at_ns, rtt_ns, delivered
    flow.run_acks += 1
    if flow.run_acks >= RUN_ACKS:
        gained, acked_ns = float(delivered - flow.run_delivered), float(at_ns - flow.run_ns)
        run_bps = _delivered_bps(gained, acked_ns, flow.run_rtt_ns, rtt_ns)
        flow.run_bps = max(flow.run_bps, run_bps)


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
    if flow.acks == 0:
        flow.first_ns, flow.first_rtt_ns, flow.first_delivered = (
            at_ns,
            rtt_ns,
            counters[_DELIVERED],
        )
    _run(flow, at_ns, counters[_DELIVERED], rtt_ns)
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
        flow.newest_rtt_ns = rtt_ns
    return fell


@inner
def _gained(flow: Any, counter: int) -> float:
    """By how much a counter has grown in the open window. Nonsense beyond 2**53 is rounded, and yet
    not negative.
    """
    gained: float = max(flow.counters[counter] - flow.base[counter], 0.0)
    return gained


@inner
def _burst_bps(flow: Any) -> float:
    """Delivery rate of the open window's ACKs, first to last [bit/s], NaN: there is none."""
    if flow.acks < 2:
        return np.nan
    delivered = float(flow.counters[_DELIVERED] - flow.first_delivered)
    acked_ns = float(flow.last_ns - flow.first_ns)
    return _delivered_bps(delivered, acked_ns, flow.first_rtt_ns, flow.newest_rtt_ns)


@inner
def _pause_ns(flow: Any) -> float:
    """How long nothing was in flight between the last ACK before the open window and its first: the
    rate starts when the first packet was sent, as the kernel's does (net/ipv4/tcp_rate.c).
    """
    if flow.paused == 0 or flow.acks == 0 or np.isnan(flow.first_rtt_ns):
        return 0.0
    pause_ns = float(flow.first_ns - flow.base_ns) - flow.first_rtt_ns
    return pause_ns if pause_ns >= LEAST_PAUSE_NS else 0.0


@inner
def _close(flow: Any, end_ns: int, row: Any, seen: Any) -> None:
    """Write the row of the open window, which ends at end_ns, where the next one starts; its
    estimates are left to `policy.tasks.congestion.estimates`.
    """
    quiet, known = flow.acks == 0, flow.last_ns != NEVER
    duration = float(end_ns - flow.start_ns)
    silence = float(end_ns - (flow.last_ns if known else flow.start_ns))
    # From ACK to ACK, but never so short that one burst would pass for a rate.
    since_base, pause = float(flow.last_ns - flow.base_ns), _pause_ns(flow)
    span = max(since_base, duration / 2)
    # After a pause a round trip is in it, so that no burst passes for a rate.
    active = max(since_base - pause, LEAST_BURST_NS) if pause > 0 else span
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

    lost, delivered = _gained(flow, _LOST), _gained(flow, _DELIVERED)
    per_span = 0.0 if quiet else 8e9 / active

    row.duration_ns = duration
    row.acks = flow.acks
    row.acked_bytes = _gained(flow, _ACKED)
    row.delivery_rate_bps = delivered * per_span
    row.send_rate_bps = _gained(flow, _SENT) * per_span
    row.rtt_mean_ns = mean
    row.rtt_min_ns = flow.rtt_min_ns if n > 0 else mean
    row.rtt_gradient = slope
    row.srtt_ns = flow.levels[_SRTT]
    row.lost_bytes = lost
    row.loss_rate = lost / max(lost + delivered, 1.0)
    row.inflight_bytes = inflight
    row.cwnd_bytes = flow.levels[_CWND] * flow.levels[_MSS]
    row.ack_spacing_ns = silence if quiet else active / flow.acks
    row.app_limited_share = (0.0 if busy else 1.0) if quiet else flow.app_limited / flow.acks
    row.ecn_share = min(_gained(flow, _CE) / max(_gained(flow, _PACKETS), 1.0), 1.0)
    row.asked_rate_bps = flow.levels[_PACING]
    row.since_loss_ns = -1.0 if flow.loss_ns == NEVER else float(end_ns - flow.loss_ns)
    row.min_rtt_ns = row.queueing_delay_ns = row.action_log2 = row.bandwidth_bps = 0.0

    seen.samples = n
    seen.newest_rtt_ns = flow.newest_rtt_ns
    seen.least_rtt_ns = flow.levels[_MIN_RTT]
    seen.span_ns = span
    seen.sample_bps = flow.rate_bps
    seen.burst_bps, seen.run_bps = _burst_bps(flow), flow.run_bps
    seen.first_ns, seen.last_ns = float(flow.first_ns), float(flow.last_ns)

    flow.start_ns, flow.base_ns = end_ns, flow.last_ns
    flow.paused = 0 if busy else 1
    _reset(flow)


_columns = (
    read_only(_i8),
    read_only(_i8),
    read_only(_i8, 2),
    read_only(_f8, 2),
    read_only(_f8),
    read_only(_f8),
)
_closings = (read_only(_i8), _i8[::1], _rows, _seen)


@compiled(types.Tuple((_i8, _i8)), _flows, *_closings, _b1[::1], *_columns, read_only(_b1))
def take_records(
    flows: NDArray[np.void],
    end_ns: Ints,
    following: Ints,
    rows: NDArray[np.void],
    seen: NDArray[np.void],
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
            at = flow.closing
            _close(flow, end_ns[at], rows[at], seen[at])
            flow.closing = following[flow.closing]
        if flow.closing == DONE:
            ahead[i] = True
        elif _take(flow, at_ns[i], counters[i], levels[i], rtt_ns[i], rate_bps[i], app_limited[i]):
            fell += 1
    return stale, fell


@compiled(types.void, _flows, *_closings, read_only(_i8))
def close_rest(
    flows: NDArray[np.void],
    end_ns: Ints,
    following: Ints,
    rows: NDArray[np.void],
    seen: NDArray[np.void],
    slot: Ints,
) -> None:
    """Make the closings of these slots that no record was past."""
    for i in range(len(slot)):
        flow: Any = flows[slot[i]]
        if flow.closing == i:
            _close(flow, end_ns[i], rows[i], seen[i])
            flow.closing = following[i]
        if flow.closing == DONE:
            flow.closing = NONE
