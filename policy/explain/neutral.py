"""What a calm flow's windows would be: the reference that attribution compares with.

A calm flow sends and delivers what its estimate says, has one bandwidth-delay product in flight, an
empty queue, and has lost nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.tasks.congestion.fields import FIELDS, F

Floats = NDArray[np.float64]
PATCH = 4
"""Windows that are explained together: those that share a token of the bundled models."""
CALM: dict[str, str | float] = {
    "delivery_rate_bps": "bandwidth",
    "send_rate_bps": "bandwidth",
    "asked_rate_bps": "bandwidth",
    "bandwidth_bps": "bandwidth",
    "rtt_mean_ns": "min_rtt",
    "rtt_min_ns": "min_rtt",
    "srtt_ns": "min_rtt",
    "min_rtt_ns": "min_rtt",
    "queueing_delay_ns": 0.0,
    "rtt_gradient": 0.0,
    "lost_bytes": 0.0,
    "loss_rate": 0.0,
    "since_loss_ns": -1.0,
    "ecn_share": 0.0,
    "inflight_bytes": "bdp",
    "cwnd_bytes": "bdp",
    "ack_spacing_ns": "spacing",
    "acks": "acks",
    "app_limited_share": 0.0,
    "action_log2": 0.0,
}
"""Fields that are explained -> their values in calm: a number, or what it is worked out from."""
EXPLAINED = tuple(CALM)


def calm_windows(batch: FlowBatch) -> Floats:
    """The windows of the same flows in calm, float64[n, w, F]; those that do not exist are zero."""
    calm = batch.windows.copy()
    bandwidth, min_rtt = batch.bandwidth_bps, batch.min_rtt_ns
    duration_ns = batch.windows[:, :, F["duration_ns"]]
    spacing = batch.mss_bytes * 8e9 / bandwidth
    known = {
        "bandwidth": bandwidth[:, None],
        "min_rtt": min_rtt[:, None],
        "bdp": (bandwidth * min_rtt / 8e9)[:, None],
        "spacing": spacing[:, None],
        "acks": duration_ns / spacing[:, None],
    }
    for name, value in CALM.items():
        calm[:, :, F[name]] = known[value] if isinstance(value, str) else value
    calm[~batch.valid] = 0.0
    return calm


def cells(windows: int) -> list[tuple[str, slice]]:
    """What is explained: a field over a patch of windows, fields outside, oldest patch first."""
    patches = [slice(start, start + PATCH) for start in range(0, windows, PATCH)]
    return [(name, patch) for name in EXPLAINED for patch in patches]


def with_calm(batch: FlowBatch, calm: NDArray[np.bool_]) -> FlowBatch:
    """The batch with values in calm where bool[n, len(cells)] says so."""
    windows, reference = batch.windows.copy(), calm_windows(batch)
    for number, (name, patch) in enumerate(cells(windows.shape[1])):
        chosen, field = calm[:, number], F[name]
        windows[chosen, patch, field] = reference[chosen, patch, field]
    return replace(batch, windows=windows)


def repeated(batch: FlowBatch, times: int) -> FlowBatch:
    """Each flow so many times, one after the other."""
    return batch.only(np.repeat(np.arange(len(batch)), times))


assert set(EXPLAINED) <= set(FIELDS)
