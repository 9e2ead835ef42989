"""What the right action would have been, seen with hindsight of the capacity trace. Pure,
vectorised over decisions.

At time t a sender chooses the rate r for what arrives at the bottleneck from t + d on, with d the
delay from sender to bottleneck. Bytes sent before t and not yet arrived are committed. With C(a, b)
the bytes that the trace can carry in (a, b), the queue that the new rate meets is

    Q1 = max(0, Q(t) + committed - C(t, t + d)).

Over the horizon H = max(windows * W, RTT), the constant rate that uses all of the capacity and
leaves a queue worth the target delay D at its end solves Q1 + r H - C(t + d, t + d + H) = D C(t +
d, t + d + H) / H:

    r* = (C (1 + D / H) - Q1) / H,

at least `floor` of the mean capacity, so that a flow is never told to fall silent. With several
flows on the bottleneck, each is due its share of C and of the queue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """Constants of the near-optimal action."""

    horizon_windows: int = 2
    window_ns: int = 100_000_000
    target_delay_ns: float = 30e6
    floor: float = 0.05


DELAY_RATIO = 4.0
"""Target delay of `throughput` over that of `balanced`, and of that over that of `latency`."""
COST_RATIO = 1.5
"""Likewise of the costs of asking for too much, the other way round; chosen in the closed loop on
validation traces (docs/results/objective.md).
"""


def target_of(objective: ArrayLike) -> tuple[Floats, Floats]:
    """Target delay [ns] of flows of these objectives, and how many times more asking for too much
    costs than asking for too little: 7.5 ms and 3/2 for `latency`, 30 ms and 1 for `balanced`, 120
    ms and 2/3 for `throughput`, geometric between.
    """
    side = 2.0 * np.asarray(objective, np.float64) - 1.0
    return Target().target_delay_ns * DELAY_RATIO**side, COST_RATIO**-side


@dataclass(frozen=True)
class Reward:
    """Weights of the reward of one window."""

    delay: float = 0.5
    loss: float = 5.0


class CapacityIntegral:
    """Cumulative bytes that a trace can carry, from arrays of times and totals (both
    non-decreasing).
    """

    def __init__(self, at_ns: ArrayLike, cumulative_bytes: ArrayLike) -> None:
        self._at_ns = np.asarray(at_ns, np.float64)
        self._bytes = np.asarray(cumulative_bytes, np.float64)
        if self._at_ns.ndim != 1 or self._at_ns.shape != self._bytes.shape or len(self._at_ns) < 2:
            raise ValueError("capacity needs two or more times and as many totals")
        if np.any(np.diff(self._at_ns) <= 0) or np.any(np.diff(self._bytes) < 0):
            raise ValueError("capacity times must increase and totals must not fall")

    def between(self, from_ns: ArrayLike, to_ns: ArrayLike) -> Floats:
        """Bytes in each interval; 0 outside the times given."""
        totals: Floats = np.interp(np.asarray(to_ns), self._at_ns, self._bytes) - np.interp(
            np.asarray(from_ns), self._at_ns, self._bytes
        )
        return totals


def near_optimal_rate_bps(
    decision_ns: ArrayLike,
    capacity: CapacityIntegral,
    *,
    queue_bytes: ArrayLike,
    committed_bytes: ArrayLike,
    forward_delay_ns: ArrayLike,
    rtt_ns: ArrayLike,
    share: ArrayLike = 1.0,
    target: Target | None = None,
) -> Floats:
    """r* of the module's text, in bit/s.

    Args: decision_ns: [n], when the new rate takes effect at the sender, on the capacity's clock.
        queue_bytes: [n], backlog of the bottleneck then. committed_bytes: [n], sent and not yet at
        the bottleneck (about send rate * forward delay). forward_delay_ns, rtt_ns: [n] or scalars;
        propagation from sender to bottleneck, and round trip. share: the flow's fair part of the
        bottleneck, in (0, 1].
    """
    target = target or Target()
    start = np.asarray(decision_ns, np.float64)
    arrive = start + np.asarray(forward_delay_ns, np.float64)
    horizon = np.maximum(
        float(target.horizon_windows * target.window_ns), np.asarray(rtt_ns, np.float64)
    )
    queue = np.asarray(queue_bytes, np.float64) + np.asarray(committed_bytes, np.float64)
    queue = np.maximum(queue - capacity.between(start, arrive), 0.0)
    due = np.asarray(share, np.float64)
    usable = capacity.between(arrive, arrive + horizon)
    wanted = due * (usable * (1.0 + target.target_delay_ns / horizon) - queue)
    rate: Floats = np.maximum(wanted, target.floor * due * usable) * 8e9 / horizon
    return rate


def at_other_target(
    rate_bps: ArrayLike,
    target_delay_ns: ArrayLike,
    *,
    capacity_bps: ArrayLike,
    queue_bytes: ArrayLike,
    rtt_ns: ArrayLike,
    target: Target | None = None,
) -> Floats:
    """The near-optimal rates [bit/s] with other target delays, of those for `target`; all [n].

    r* grows by C / H for each second of delay. Where it was at its floor the queue that the rate
    meets is not known from it; at least the queue at the decision is taken.
    """
    target = target or Target()
    rate, capacity = np.asarray(rate_bps, np.float64), np.asarray(capacity_bps, np.float64)
    horizon = np.maximum(float(target.horizon_windows * target.window_ns), np.asarray(rtt_ns))
    met_bps = capacity * (1.0 + target.target_delay_ns / horizon) - rate
    queued_bps = np.asarray(queue_bytes, np.float64) * 8e9 / horizon
    at_floor = rate <= target.floor * capacity * (1 + 1e-6)
    met_bps = np.where(at_floor, np.maximum(met_bps, queued_bps), met_bps)
    wanted = capacity * (1.0 + np.asarray(target_delay_ns) / horizon) - met_bps
    other: Floats = np.maximum(wanted, target.floor * capacity)
    return other


def action_log2(rate_bps: ArrayLike, bandwidth_bps: ArrayLike) -> Floats:
    """log2(rate / bandwidth estimate), clipped to the action's range [-1, 1]."""
    ratio = np.maximum(np.asarray(rate_bps, np.float64), 1.0) / np.maximum(
        np.asarray(bandwidth_bps, np.float64), 1.0
    )
    clipped: Floats = np.clip(np.log2(ratio), -1.0, 1.0)
    return clipped


def rewards(
    delivered_bytes: ArrayLike,
    capacity_bytes: ArrayLike,
    queueing_delay_ns: ArrayLike,
    min_rtt_ns: ArrayLike,
    loss_rate: ArrayLike,
    weights: Reward | None = None,
) -> Floats:
    """Reward of each window: share of the capacity delivered, less queueing delay in RTTs (at most
    2) and loss.

    r = min(delivered / capacity, 1) - delay * min(q / RTT, 2) - loss * loss_rate; where there was
    no capacity, delivering nothing counts as all of it.
    """
    weights = weights or Reward()
    capacity = np.asarray(capacity_bytes, np.float64)
    used = np.ones_like(capacity)
    np.divide(np.asarray(delivered_bytes, np.float64), capacity, out=used, where=capacity > 0)
    delay = np.minimum(
        np.asarray(queueing_delay_ns, np.float64) / np.asarray(min_rtt_ns, np.float64), 2.0
    )
    value: Floats = (
        np.minimum(used, 1.0) - weights.delay * delay - weights.loss * np.asarray(loss_rate)
    )
    return value


def returns_to_go(rewards_of_windows: ArrayLike, horizon_windows: int = 20) -> Floats:
    """Mean reward of the coming windows of one flow: R_t = mean(r_{t+1} … r_{t+h}), fewer near the
    end.

    A flow has no known end, so that the sum to the end of an episode (arXiv 2106.01345) would
    measure its remaining length; a mean over a horizon does not, and the target return need not be
    decremented at run time. The last window, which has nothing behind it, gets its own reward.
    """
    values = np.asarray(rewards_of_windows, np.float64)
    n = len(values)
    if n == 0:
        return np.empty(0)
    totals = np.concatenate([[0.0], np.cumsum(values)])
    first = np.arange(1, n + 1)
    last = np.minimum(first + horizon_windows, n)
    counts = last - first
    out: Floats = np.where(
        counts > 0, (totals[last] - totals[first]) / np.maximum(counts, 1), values
    )
    return out
