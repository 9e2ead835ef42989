"""How much more a path acknowledges at once than the bandwidth estimate lets expect: the room that
cwnd needs where ACKs come in bursts. One record and one flow at a time, compiled.

Wi-Fi, cellular uplinks and offloads hold ACKs back and deliver those of many milliseconds together.
A cwnd of a bandwidth-delay product and a short queue is used up long before the next burst comes,
and the sender stands still meanwhile. BBR leaves room for the excess (extra_acked: tcp_bbr.c,
bbr_update_ack_aggregation; draft-ietf-ccwg-bbr, 5.5.9): what was acknowledged since an epoch began
less what the bandwidth estimate lets expect of the time since; an epoch ends when no more is
acknowledged than expected.

BBR takes the largest excess of the last ten round trips. An excess also tells of other things, for
which cwnd must not grow ahead of the estimate, so that here

- what a path held back comes after a silence, and is at most what the estimate delivers in that
  silence, less the time that the burst has taken since: a capacity that rises is no burst;
- it comes again and again: of the largest excesses in three spans of at least five round trips the
  one in the middle counts, so that one silence, at a handover or in an outage, does not;
- what an application sends in bursts is acknowledged in bursts: such records begin a new epoch.

All that the loop depends on is in this file or in the types of its arguments: see
`policy.compiled`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.compiled import compiled, read_only
from policy.tasks.congestion.fields import COUNTERS, ESTIMATE, LEVELS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
MOST_NS = 100e6
"""Of a silence that counts (tcp_bbr.c, bbr_extra_acked_max_us)."""
ROUNDS, LEAST_NS = 5, 250e6
"""A maximum spans so many RTTs, this time if that is longer."""
_DELIVERED = COUNTERS.index("delivered_bytes")
_SRTT, _MSS, _CWND = (LEVELS.index(name) for name in ("srtt_ns", "mss_bytes", "cwnd_packets"))

AGGREGATION = np.dtype(
    [
        ("last_ns", np.int64),  # newest record with new data; 0: there was none
        ("delivered", np.int64),  # the counter then
        # Of the epoch:
        ("epoch_ns", np.int64),  # its first record
        ("epoch_bytes", np.float64),  # acknowledged in it
        ("silence_ns", np.float64),  # before its burst, less the time since
        # Largest excesses:
        ("since_ns", np.int64),
        ("newest_bytes", np.float64),  # since then
        ("older_bytes", np.float64),  # in the span before
        ("oldest_bytes", np.float64),  # and in the one before that
    ]
)
"""What is kept of a flow between records."""


@compiled(
    types.void,
    numba.from_dtype(AGGREGATION)[::1],
    numba.from_dtype(ESTIMATE)[::1],
    read_only(types.int64),
    read_only(types.int64),
    read_only(types.int64, 2),
    read_only(types.float64, 2),
    read_only(types.boolean),
)
def take(
    states: NDArray[np.void],
    estimates: NDArray[np.void],
    slot: Ints,
    at_ns: Ints,
    counters: Ints,
    levels: Floats,
    app_limited: NDArray[np.bool_],
) -> None:
    """Take records, as in `policy.tasks.congestion.windows.Records`, in order of time per flow;
    older ones are left out.
    """
    for i in range(len(slot)):
        state: Any = states[slot[i]]
        bps = estimates[slot[i]].bps
        delivered = counters[i, _DELIVERED]
        new = float(delivered - state.delivered)
        if at_ns[i] < state.last_ns or new == 0:
            continue
        silence_ns = float(at_ns[i] - state.last_ns)
        first = state.last_ns == 0 or new < 0
        state.last_ns, state.delivered = at_ns[i], delivered
        if first or bps <= 0 or app_limited[i]:
            state.epoch_ns, state.epoch_bytes, state.silence_ns = at_ns[i], 0.0, 0.0
            continue
        expected = bps * (at_ns[i] - state.epoch_ns) / 8e9
        if state.epoch_bytes <= expected:
            state.epoch_ns, state.epoch_bytes, state.silence_ns = at_ns[i], 0.0, 0.0
            expected = 0.0
        state.epoch_bytes += new
        state.silence_ns = max(silence_ns, state.silence_ns - silence_ns)
        excess = min(state.epoch_bytes - expected, bps * min(state.silence_ns, MOST_NS) / 8e9)
        excess = min(excess, levels[i, _CWND] * levels[i, _MSS])
        if at_ns[i] - state.since_ns > max(ROUNDS * levels[i, _SRTT], LEAST_NS):
            state.oldest_bytes, state.older_bytes = state.older_bytes, state.newest_bytes
            state.newest_bytes = 0.0
            state.since_ns = at_ns[i]
        state.newest_bytes = max(state.newest_bytes, excess)


def extra_acked_bytes(states: NDArray[np.void]) -> Floats:
    """What is acknowledged at once again and again, of each flow; float64[n]."""
    newest, older, oldest = (states[f"{name}_bytes"] for name in ("newest", "older", "oldest"))
    middle: Floats = np.maximum(
        np.minimum(newest, older), np.minimum(oldest, np.maximum(newest, older))
    )
    return middle
