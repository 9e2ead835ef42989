"""Adaptive policy collaboration, first half: which flows are difficult. Pure, a compiled loop over
flows.

Trailblazer (arXiv 2512.11839) sends flows in poor conditions to the LLM and the rest to a light
policy by rules on latency, loss and rate, whose thresholds it does not publish; those here are this
project's own. Each rule has hysteresis: it sets in at one threshold and ends only after
`calm_windows` windows below a lower one, so a flow on the edge does not flap.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.compiled import compiled, inner, read_only, settings_record, settings_type
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import ROW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Reason(IntFlag):
    """Why a flow is difficult: bits of DecisionBatch.reasons, lowest first in the order of the
    rules below.
    """

    LOSS = 1
    QUEUEING_DELAY = 2
    RISING_DELAY = 4
    VOLATILE_RATE = 8
    OUTAGE = 16
    EXPLORED = 32
    """No rule holds: to learn what the model is worth there."""
    LEARNED = 64
    """The model is predicted to gain, whether a rule holds or not."""


_RULES = 5
_LOSS, _QUEUEING, _RISING, _VOLATILE, _OUTAGE = range(_RULES)  # rule k has bit k
_LEAST, _MOST = 2.0**-10, 2.0**10  # measures over their thresholds that are told apart
_STATE = np.dtype([("holds", np.uint8), ("calm", np.int64, _RULES)])
"""Reason bits that hold, and for how many windows each rule has been calm."""


class RuleScheduler:
    """See `policy.scheduler.base.Scheduler`: keeps each flow's reasons."""

    def __init__(self, flows: int, config: ApcConfig) -> None:
        self._state = np.zeros(flows, _STATE)
        self.difficulty: Floats = np.empty(0)
        """Of the flows observed last: log2 of the largest measure over its upper threshold."""
        self.set_thresholds(config)

    def set_thresholds(self, config: ApcConfig) -> None:
        """Other thresholds from the next window on; what holds goes on to hold until it ends by
        them.
        """
        self.history = config.trend_windows
        self._limits = settings_record(config)

    def feedback(self, batch: FlowBatch, by_model: Bools) -> None:
        """See Scheduler: the rules do not learn."""

    def forget(self, flows: Sequence[int] | Ints) -> None:
        """These flow numbers have ended."""
        self._state[flows] = np.zeros(1, _STATE)[0]

    def observe(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """Reason bits of every flow, 0 where it is easy, after one more window of each;
        uint8[n].
        """
        windows, valid = (
            batch.windows[:, -self.history :].view(ROW)[..., 0],
            batch.valid[:, -self.history :],
        )
        bits, self.difficulty = np.empty(len(batch), np.uint8), np.empty(len(batch))
        _update(
            self._state,
            self._limits,
            batch.flow,
            windows,
            valid,
            batch.min_rtt_ns,
            bits,
            self.difficulty,
        )
        return bits


@inner
def _loss(windows: Any, valid: Any) -> float:
    """Mean loss rate over the windows that exist."""
    total = count = 0.0
    for k in range(len(windows)):
        if valid[k]:
            total += windows[k].loss_rate
            count += 1
    return total / max(count, 1.0)


@inner
def _rtt_slope(windows: Any, valid: Any) -> float:
    """Least-squares slope of the mean RTT over time, from the windows that exist; 0 with fewer than
    three.
    """
    now = count = mean = 0.0
    for k in range(len(windows)):
        now += windows[k].duration_ns
        if valid[k]:
            mean += now
            count += 1
    if count < 3:
        return 0.0
    mean /= count
    now = product = spread = 0.0
    for k in range(len(windows)):
        now += windows[k].duration_ns
        if valid[k]:
            product += (now - mean) * windows[k].rtt_mean_ns
            spread += (now - mean) ** 2
    return product / spread if spread > 0 else 0.0


@inner
def _volatility(windows: Any, valid: Any) -> float:
    """Deviation over mean of the delivery rate, of windows not application-limited; 0 with fewer
    than three.
    """
    mean = count = 0.0
    for k in range(len(windows)):
        if valid[k] and windows[k].app_limited_share < 0.5:
            mean += windows[k].delivery_rate_bps
            count += 1
    if count < 3 or mean <= 0:
        return 0.0
    mean /= count
    variance = 0.0
    for k in range(len(windows)):
        if valid[k] and windows[k].app_limited_share < 0.5:
            variance += (windows[k].delivery_rate_bps - mean) ** 2 / count
    return float(np.sqrt(variance) / mean)


@inner
def _hold(state: Any, rule: int, above: bool, below: bool, calm_windows: float) -> None:
    """Rule number `rule` of Reason after one more window: `above` its upper or `below` its lower
    threshold.
    """
    state.calm[rule] = min(state.calm[rule] + 1, int(calm_windows)) if below else 0
    if above:
        state.holds |= np.uint8(1 << rule)
    elif state.calm[rule] >= calm_windows:
        state.holds &= ~np.uint8(1 << rule)


_i8, _u1, _f8 = types.int64, types.uint8, types.float64
_states, _limits = (numba.from_dtype(kind)[::1] for kind in (_STATE, settings_type(ApcConfig)))
_windows = read_only(numba.from_dtype(ROW), 2), read_only(types.boolean, 2)


@compiled(
    types.void, _states, _limits, read_only(_i8), *_windows, read_only(_f8), _u1[::1], _f8[::1]
)
def _update(
    states: NDArray[np.void],
    limits: NDArray[np.void],
    flows: Ints,
    windows: NDArray[np.void],
    valid: Bools,
    min_rtt_ns: Floats,
    bits: NDArray[np.uint8],
    difficulty: Floats,
) -> None:
    """One more window of each flow, windows[n, trend], what holds then, and how difficult it is."""
    limit: Any = limits[0]
    calm, floor_ns = limit.calm_windows, limit.queueing_floor_ms * 1e6
    for i in range(len(flows)):
        state: Any = states[flows[i]]
        newest: Any = windows[i, -1]
        loss = _loss(windows[i], valid[i])
        _hold(state, _LOSS, loss > limit.loss_on, loss <= limit.loss_off, calm)
        paused = newest.acks == 0 and newest.inflight_bytes == 0
        queue_ns = 0.0 if paused else newest.queueing_delay_ns
        long_ns = max(limit.queueing_on * min_rtt_ns[i], floor_ns)
        short_ns = max(limit.queueing_off * min_rtt_ns[i], floor_ns / 2)
        _hold(state, _QUEUEING, queue_ns > long_ns, queue_ns <= short_ns, calm)
        rising = _rtt_slope(windows[i], valid[i])
        _hold(state, _RISING, rising > limit.rising_on, rising <= limit.rising_off, calm)
        volatility = _volatility(windows[i], valid[i])
        _hold(
            state,
            _VOLATILE,
            volatility > limit.volatility_on,
            volatility <= limit.volatility_off,
            calm,
        )
        outage = newest.acks == 0 and newest.inflight_bytes > 0
        _hold(state, _OUTAGE, outage, not outage, calm)
        bits[i] = 0 if paused else state.holds  # nothing has come that a model could answer to
        largest = max(
            loss / max(limit.loss_on, _LEAST),
            queue_ns / max(long_ns, 1.0),
            rising / max(limit.rising_on, _LEAST),
            volatility / max(limit.volatility_on, _LEAST),
            _MOST if outage else _LEAST,
        )
        difficulty[i] = np.log2(min(max(largest, _LEAST), _MOST))
