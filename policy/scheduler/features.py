"""What the learned scheduler sees of a flow: a few numbers, and the network that makes a gain of
them. Pure, compiled loops over flows, under a microsecond a flow together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, types
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.compiled import compiled, inner, read_only
from policy.tasks.congestion.fields import ROW

Floats = NDArray[np.float64]
WINDOWS = 5
NAMES = (
    "queueing delay over minimum RTT",
    "mean of it over 5 windows",
    "mean loss rate of 5 windows",
    "delivery rate over the estimate, octaves",
    "mean of it over 5 windows",
    "volatility of the delivery rate over 5 windows",
    "change of the RTT over 5 windows, in minimum RTTs",
    "in flight over the BDP, octaves",
    "cwnd over the BDP, octaves",
    "rate asked for over the estimate, octaves",
    "application-limited share",
    "log2 of the BDP in packets",
)
COUNT = len(NAMES)
_RANGE = 6.0


@inner
def _octaves(above: float, below: float) -> float:
    ratio = np.log2(max(above, 1e-9) / max(below, 1e-9))
    return float(min(max(ratio, -_RANGE), _RANGE))


@inner
def _fill(
    out: Any, windows: Any, valid: Any, bandwidth_bps: float, min_rtt_ns: float, mss_bytes: float
) -> None:
    """The numbers of one flow, from its windows, the newest last."""
    newest = windows[-1]
    bdp_bytes = bandwidth_bps * min_rtt_ns / 8e9
    count = queue = loss = rate = squares = 0.0
    oldest_rtt = newest.rtt_mean_ns
    for k in range(len(windows) - 1, -1, -1):
        if valid[k]:
            count += 1
            queue += windows[k].queueing_delay_ns
            loss += windows[k].loss_rate
            rate += windows[k].delivery_rate_bps
            squares += windows[k].delivery_rate_bps * windows[k].delivery_rate_bps
            oldest_rtt = windows[k].rtt_mean_ns
    count = max(count, 1.0)
    mean = rate / count
    deviation = np.sqrt(max(squares / count - mean * mean, 0.0))
    out[0] = min(newest.queueing_delay_ns / min_rtt_ns, 50.0)
    out[1] = min(queue / count / min_rtt_ns, 50.0)
    out[2] = loss / count
    out[3] = _octaves(newest.delivery_rate_bps, bandwidth_bps)
    out[4] = _octaves(mean, bandwidth_bps)
    out[5] = min(deviation / max(mean, 1.0), 10.0)
    out[6] = min(max((newest.rtt_mean_ns - oldest_rtt) / min_rtt_ns, -50.0), 50.0)
    out[7] = _octaves(newest.inflight_bytes, bdp_bytes)
    out[8] = _octaves(newest.cwnd_bytes, bdp_bytes)
    out[9] = _octaves(newest.asked_rate_bps, bandwidth_bps)
    out[10] = newest.app_limited_share
    out[11] = np.log2(max(bdp_bytes / mss_bytes, 1e-3))


_f8 = types.float64
_rows, _valid = read_only(from_dtype(ROW), 2), read_only(types.boolean, 2)
_vector, _matrix = read_only(_f8), read_only(_f8, 2)


@compiled(types.void, _f8[:, ::1], _rows, _valid, _vector, _vector, _vector)
def _features(
    out: Floats,
    windows: NDArray[np.void],
    valid: NDArray[np.bool_],
    bandwidth_bps: Floats,
    min_rtt_ns: Floats,
    mss_bytes: Floats,
) -> None:
    for i in range(len(out)):
        _fill(out[i], windows[i], valid[i], bandwidth_bps[i], min_rtt_ns[i], mss_bytes[i])


@compiled(
    types.void, _f8[::1], _rows, _valid, _vector, _vector, _vector, _matrix, _vector, _vector, _f8
)
def _scores(
    out: Floats,
    windows: NDArray[np.void],
    valid: NDArray[np.bool_],
    bandwidth_bps: Floats,
    min_rtt_ns: Floats,
    mss_bytes: Floats,
    inner_weight: Floats,
    inner_bias: Floats,
    outer_weight: Floats,
    outer_bias: float,
) -> None:
    hidden = len(inner_bias)
    x = np.empty(COUNT)
    for i in range(len(out)):
        _fill(x, windows[i], valid[i], bandwidth_bps[i], min_rtt_ns[i], mss_bytes[i])
        score = outer_bias
        for h in range(hidden):
            value = inner_bias[h]
            for k in range(COUNT):
                value += inner_weight[h, k] * x[k]
            score += outer_weight[h] * max(value, 0.0)
        out[i] = score


def _recent(batch: FlowBatch) -> tuple[Any, Any, Any, Any, Any]:
    return (
        batch.windows[:, -WINDOWS:].view(ROW)[..., 0],
        batch.valid[:, -WINDOWS:],
        batch.bandwidth_bps,
        batch.min_rtt_ns,
        batch.mss_bytes,
    )


def features(batch: FlowBatch) -> Floats:
    """float64[n, COUNT], by NAMES."""
    out = np.empty((len(batch), COUNT))
    _features(out, *_recent(batch))
    return out


def scores(batch: FlowBatch, network: tuple[Floats, Floats, Floats, float]) -> Floats:
    """What the network says of every flow, float64[n]: a hidden layer of rectifiers.

    network: weights float64[h, COUNT] and biases [h] of the hidden layer, weights [h] and bias of
    the output.
    """
    out = np.empty(len(batch))
    hidden, bias, outer, last = network
    _scores(out, *_recent(batch), hidden, bias, outer, last)
    return out
