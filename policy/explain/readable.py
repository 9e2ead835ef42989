"""A flow's history as a few numbers that a person can read, for the tree that stands in for a
policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.tasks.congestion.fields import HISTORY, F

Floats = NDArray[np.float64]
_RECENT = 5
_RANGE = 6.0  # octaves


@dataclass(frozen=True)
class Readable:
    """A number, its unit, and how it is read from a batch: float64[n]."""

    name: str
    unit: str
    read: Callable[[FlowBatch], Floats]


def _newest(name: str) -> Callable[[FlowBatch], Floats]:
    return lambda batch: batch.windows[:, -1, F[name]]


def _mean(batch: FlowBatch, name: str, windows: int) -> Floats:
    """Mean over the newest windows that exist."""
    valid = batch.valid[:, -windows:]
    values = np.where(valid, batch.windows[:, -windows:, F[name]], 0.0)
    mean: Floats = values.sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    return mean


def _octaves(above: Floats, below: Floats) -> Floats:
    ratio = np.maximum(above, 1e-9) / np.maximum(below, 1e-9)
    octaves: Floats = np.clip(np.log2(ratio), -_RANGE, _RANGE)
    return octaves


def _to_bandwidth(name: str, windows: int = 1) -> Callable[[FlowBatch], Floats]:
    return lambda batch: _octaves(_mean(batch, name, windows), batch.bandwidth_bps)


def _earlier(batch: FlowBatch, name: str, back: int) -> Floats:
    """A field so many windows before the newest one; of a younger flow its oldest."""
    oldest = batch.valid.shape[1] - batch.valid.sum(axis=1)
    place = np.maximum(batch.valid.shape[1] - 1 - back, np.minimum(oldest, HISTORY - 1))
    values: Floats = batch.windows[np.arange(len(batch)), place, F[name]]
    return values


def _earlier_to_bandwidth(name: str, back: int) -> Callable[[FlowBatch], Floats]:
    return lambda batch: _octaves(_earlier(batch, name, back), batch.bandwidth_bps)


def _to_min_rtt(name: str) -> Callable[[FlowBatch], Floats]:
    return lambda batch: _octaves(batch.windows[:, -1, F[name]], batch.min_rtt_ns)


def _bdp_bytes(batch: FlowBatch) -> Floats:
    bdp: Floats = batch.bandwidth_bps * batch.min_rtt_ns / 8e9
    return bdp


def _volatility(batch: FlowBatch) -> Floats:
    mean = np.maximum(_mean(batch, "delivery_rate_bps", HISTORY), 1.0)
    valid = batch.valid[:, -HISTORY:]
    rates = batch.windows[:, -HISTORY:, F["delivery_rate_bps"]]
    squares = np.where(valid, (rates - mean[:, None]) ** 2, 0.0).sum(axis=1)
    deviation: Floats = np.sqrt(squares / np.maximum(valid.sum(axis=1), 1)) / mean
    return deviation


def _since_loss(batch: FlowBatch) -> Floats:
    """In RTTs; 1000 where none was lost yet."""
    since = batch.windows[:, -1, F["since_loss_ns"]]
    return np.where(since < 0, 1000.0, np.minimum(since / batch.min_rtt_ns, 1000.0))


READABLE = (
    Readable(
        "queueing delay over minimum RTT",
        "",
        lambda b: b.windows[:, -1, F["queueing_delay_ns"]] / b.min_rtt_ns,
    ),
    Readable("queueing delay", "ms", lambda b: b.windows[:, -1, F["queueing_delay_ns"]] / 1e6),
    Readable(
        "mean queueing delay of 5 windows over minimum RTT",
        "",
        lambda b: _mean(b, "queueing_delay_ns", _RECENT) / b.min_rtt_ns,
    ),
    Readable(
        "mean queueing delay of 20 windows over minimum RTT",
        "",
        lambda b: _mean(b, "queueing_delay_ns", HISTORY) / b.min_rtt_ns,
    ),
    Readable("delivery rate over the estimate", "octaves", _to_bandwidth("delivery_rate_bps")),
    Readable(
        "mean delivery rate of 5 windows over the estimate",
        "octaves",
        _to_bandwidth("delivery_rate_bps", _RECENT),
    ),
    Readable(
        "mean delivery rate of 20 windows over the estimate",
        "octaves",
        _to_bandwidth("delivery_rate_bps", HISTORY),
    ),
    Readable("send rate over the estimate", "octaves", _to_bandwidth("send_rate_bps")),
    Readable("rate asked for over the estimate", "octaves", _to_bandwidth("asked_rate_bps")),
    Readable(
        "mean estimate of 20 windows over the estimate",
        "octaves",
        _to_bandwidth("bandwidth_bps", HISTORY),
    ),
    Readable("volatility of the delivery rate", "", _volatility),
    Readable("RTT gradient", "", _newest("rtt_gradient")),
    Readable(
        "in flight over the BDP",
        "octaves",
        lambda b: _octaves(b.windows[:, -1, F["inflight_bytes"]], _bdp_bytes(b)),
    ),
    Readable(
        "cwnd over the BDP",
        "octaves",
        lambda b: _octaves(b.windows[:, -1, F["cwnd_bytes"]], _bdp_bytes(b)),
    ),
    Readable("loss rate", "", _newest("loss_rate")),
    Readable("mean loss rate of 20 windows", "", lambda b: _mean(b, "loss_rate", HISTORY)),
    Readable("time since the last loss", "RTTs", _since_loss),
    Readable("application-limited share", "", _newest("app_limited_share")),
    Readable("ACKs", "", _newest("acks")),
    Readable("last action", "octaves", _newest("action_log2")),
    Readable("minimum RTT", "ms", lambda b: b.min_rtt_ns / 1e6),
    Readable("BDP", "packets", lambda b: _bdp_bytes(b) / b.mss_bytes),
    Readable("windows of the flow", "", lambda b: b.valid.sum(axis=1).astype(np.float64)),
    Readable("smoothed RTT over minimum RTT", "octaves", _to_min_rtt("srtt_ns")),
    Readable("smallest RTT of the window over minimum RTT", "octaves", _to_min_rtt("rtt_min_ns")),
    Readable(
        "delivery rate one window ago over the estimate",
        "octaves",
        _earlier_to_bandwidth("delivery_rate_bps", 1),
    ),
    Readable(
        "delivery rate two windows ago over the estimate",
        "octaves",
        _earlier_to_bandwidth("delivery_rate_bps", 2),
    ),
    Readable(
        "estimate one window ago over the estimate",
        "octaves",
        _earlier_to_bandwidth("bandwidth_bps", 1),
    ),
    Readable(
        "estimate 5 windows ago over the estimate",
        "octaves",
        _earlier_to_bandwidth("bandwidth_bps", _RECENT),
    ),
    Readable(
        "queueing delay one window ago over minimum RTT",
        "",
        lambda b: _earlier(b, "queueing_delay_ns", 1) / b.min_rtt_ns,
    ),
    Readable(
        "send rate over the delivery rate",
        "octaves",
        lambda b: _octaves(
            b.windows[:, -1, F["send_rate_bps"]], b.windows[:, -1, F["delivery_rate_bps"]]
        ),
    ),
    Readable("mean action of 5 windows", "octaves", lambda b: _mean(b, "action_log2", _RECENT)),
    Readable(
        "ACK spacing over a packet's time at the estimate",
        "octaves",
        lambda b: _octaves(
            b.windows[:, -1, F["ack_spacing_ns"]], b.mss_bytes * 8e9 / b.bandwidth_bps
        ),
    ),
    Readable("objective", "", lambda b: b.objective),
)
"""Columns of `readable`, in order."""


def readable(batch: FlowBatch) -> Floats:
    """float64[n, len(READABLE)], finite; a batch has HISTORY windows."""
    columns = np.stack([each.read(batch) for each in READABLE], axis=1)
    return np.nan_to_num(columns, nan=0.0, posinf=1e6, neginf=-1e6)
