"""Adaptive policy collaboration, first half: which flows are difficult. Pure, vectorised over flows.

Trailblazer (arXiv 2512.11839) sends flows in poor conditions to the LLM and the rest to a light policy by rules on
latency, loss and rate, whose thresholds it does not publish; those here are this project's own. Each rule has
hysteresis: it sets in at one threshold and ends only after `calm_windows` windows below a lower one, so a flow on the
edge does not flap.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from policy.fields import F
from policy.tiers import FlowBatch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Reason(IntFlag):
    """Why a flow is difficult: bits of DecisionBatch.reasons, lowest first in the order of the rules below."""

    LOSS = 1
    QUEUEING_DELAY = 2
    RISING_DELAY = 4
    VOLATILE_RATE = 8
    OUTAGE = 16


class ApcConfig(BaseModel):
    """Thresholds; `…_on` sets a rule in, `…_off` ends it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trend_windows: int = Field(default=5, ge=2, le=20)
    """Windows over which trends and volatility are taken."""
    loss_on: float = Field(default=0.02, ge=0, le=1)
    """Mean loss rate over the trend windows (a fraction)."""
    loss_off: float = Field(default=0.005, ge=0, le=1)
    queueing_on: float = Field(default=0.75, ge=0)
    """Queueing delay of the newest window, in minimum RTTs …"""
    queueing_off: float = Field(default=0.25, ge=0)
    queueing_floor_ms: float = Field(default=25.0, ge=0)
    """… but never less than this, nor half of it to end."""
    rising_on: float = Field(default=0.10, ge=0)
    """Slope of the mean RTT over the trend windows (seconds per second)."""
    rising_off: float = Field(default=0.03, ge=0)
    volatility_on: float = Field(default=0.35, ge=0)
    """Standard deviation over mean of the delivery rate, over windows that the application did not limit."""
    volatility_off: float = Field(default=0.20, ge=0)
    calm_windows: int = Field(default=5, ge=1)
    """Windows below the lower threshold that end a rule."""

    @model_validator(mode="after")
    def _ordered(self) -> ApcConfig:
        for rule in ("loss", "queueing", "rising", "volatility"):
            if getattr(self, f"{rule}_off") > getattr(self, f"{rule}_on"):
                raise ValueError(f"{rule}_off must not be above {rule}_on")
        return self


class Scheduler:
    """Keeps each flow's reasons. State: which rules hold, and for how long each has been calm."""

    def __init__(self, flows: int, config: ApcConfig) -> None:
        self.history = config.trend_windows
        self._config = config
        self._holds = np.zeros((flows, len(Reason)), bool)
        self._calm = np.zeros((flows, len(Reason)), np.int16)

    def forget(self, flows: Sequence[int] | NDArray[np.int64]) -> None:
        """These flow numbers have ended."""
        self._holds[flows] = False
        self._calm[flows] = 0

    def reasons(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """Reason bits of every flow, 0 where it is easy, after one more window of each; uint8[n]."""
        on, off = self._measures(batch)
        f = batch.flow
        calm = np.where(off, self._calm[f] + 1, 0)
        holds = on | (self._holds[f] & (calm < self._config.calm_windows))
        self._holds[f], self._calm[f] = holds, np.minimum(calm, self._config.calm_windows)
        bits: NDArray[np.uint8] = np.packbits(holds, axis=1, bitorder="little")[:, 0]
        return bits

    def _measures(self, batch: FlowBatch) -> tuple[Bools, Bools]:
        """Which rules are above their upper, and which below their lower threshold; bool[n, rules]."""
        c = self._config
        windows, valid = batch.windows[:, -c.trend_windows :], batch.valid[:, -c.trend_windows :]
        newest = windows[:, -1]
        count = np.maximum(valid.sum(axis=1), 1)
        loss = windows[..., F["loss_rate"]].sum(axis=1) / count
        queue = newest[:, F["queueing_delay_ns"]]
        floor = c.queueing_floor_ms * 1e6
        rising = _slope(windows[..., F["rtt_mean_ns"]], windows[..., F["duration_ns"]], valid)
        backlogged = valid & (windows[..., F["app_limited_share"]] < 0.5)
        volatility = _variation(windows[..., F["delivery_rate_bps"]], backlogged)
        outage = (newest[:, F["acks"]] == 0) & (newest[:, F["inflight_bytes"]] > 0)
        on = (
            loss > c.loss_on,
            queue > np.maximum(c.queueing_on * batch.min_rtt_ns, floor),
            rising > c.rising_on,
            volatility > c.volatility_on,
            outage,
        )
        off = (
            loss <= c.loss_off,
            queue <= np.maximum(c.queueing_off * batch.min_rtt_ns, floor / 2),
            rising <= c.rising_off,
            volatility <= c.volatility_off,
            ~outage,
        )
        return np.stack(on, axis=1), np.stack(off, axis=1)


def _slope(values: Floats, duration: Floats, valid: Bools) -> Floats:
    """Least-squares slope of values [n, w] over time, from the windows that exist; 0 with fewer than three."""
    t = np.cumsum(duration, axis=1)
    count = valid.sum(axis=1, keepdims=True)
    share = valid / np.maximum(count, 1)
    t = (t - (t * share).sum(axis=1, keepdims=True)) * valid
    spread = (t * t).sum(axis=1)
    slope: Floats = np.divide(
        (t * values).sum(axis=1), spread, out=np.zeros(len(values)), where=(count[:, 0] >= 3) & (spread > 0)
    )
    return slope


def _variation(values: Floats, valid: Bools) -> Floats:
    """Standard deviation over mean of values [n, w]; 0 with fewer than three."""
    count = valid.sum(axis=1)
    share = valid / np.maximum(count, 1)[:, None]
    mean = (values * share).sum(axis=1)
    variance = ((values - mean[:, None]) ** 2 * share).sum(axis=1)
    result: Floats = np.divide(
        np.sqrt(variance), mean, out=np.zeros(len(values)), where=(count >= 3) & (mean > 0)
    )
    return result
