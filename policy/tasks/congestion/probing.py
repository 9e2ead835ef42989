"""When the bandwidth estimate says little of the path: at a flow's start, after an outage, and
after a pause of the application.

The estimate follows what was delivered, so that it falls with a capacity that goes away and is
small when the capacity comes back, or when the flows that shared it before a pause are gone. Until
the first queue shows that the path is full, growing as TCP does in slow start (RFC 5681: twofold
per round trip) finds the capacity within a few windows; a model that has learned answers within a
factor of two per window takes a second and more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]
FULL_QUEUE_NS = 5e6
FULL_QUEUE_RTT = 0.2
"""A queue of this delay, or this share of the minimum RTT if that is more, ends probing."""
LOSS = 0.02
"""And so does this loss rate."""


def idle(windows: Floats) -> NDArray[np.bool_]:
    """Windows in which nothing came nor was in flight; windows: float64[..., F]."""
    nothing: NDArray[np.bool_] = (windows[..., F["acks"]] == 0) & (
        windows[..., F["inflight_bytes"]] == 0
    )
    return nothing


def growth(batch: FlowBatch, most: float) -> Floats:
    """By how much at least a flow is to exceed its bandwidth estimate; float64[n], 1: it has to
    probe for nothing.

    A flow probes if it began, paused or had an outage within its history, all that came since then
    came through a short queue and without loss, and the newest window shows so. What was sent
    before the end of an outage waited it out, so its RTT is no measure of the queue.

    Args:
        batch: its windows are the whole history, so that flows with absent ones are young.
        most: of the growth in one window, however short the RTT.
    """
    windows, known = batch.windows, batch.valid
    count = known.shape[1]
    acks = windows[..., F["acks"]]
    quiet = (acks == 0) & known  # an outage or a pause
    place = np.arange(count)
    # The window before the first of this part of the flow's life: absent, or silent.
    since = np.where(quiet | ~known, place, -1).max(axis=1)
    later = place > since[:, None]
    elapsed_ns = np.cumsum(np.where(later, windows[..., F["duration_ns"]], 0.0), axis=1)
    young = np.logical_not(known.all(axis=1) | quiet.any(axis=1))
    heard = later & (acks > 0)
    prompt = windows[..., F["rtt_mean_ns"]] < elapsed_ns
    fresh: NDArray[np.bool_] = heard & (np.expand_dims(young, 1) | prompt)
    short_ns = np.maximum(FULL_QUEUE_NS, FULL_QUEUE_RTT * batch.min_rtt_ns)
    full = windows[..., F["queueing_delay_ns"]] > short_ns[:, None]
    full |= windows[..., F["loss_rate"]] > LOSS
    probes = (since >= 0) & fresh[:, -1] & ~(fresh & full).any(axis=1)
    rounds = windows[:, -1, F["duration_ns"]] / batch.min_rtt_ns
    grown: Floats = np.where(probes, np.exp2(np.clip(rounds, 0.0, np.log2(most))), 1.0)
    return grown
