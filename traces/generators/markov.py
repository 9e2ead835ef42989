"""The Markov-modulated rate model behind the cellular generators, and its fit to recorded rates.

Each second is in one of k + 1 states: 0 is an outage, the others are levels of the smoothed rate.
The chain's transitions carry the slow changes; within a state the rate is log-normal about the
level, with first-order autocorrelation of its own. (Markov-modulated sources: Fischer and
Meier-Hellstern, Performance Evaluation 18, 1993.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from traces.forms import Float64s, Int64s
from traces.statistics import OUTAGE_SHARE

STEP_NS = 1_000_000_000  # the recordings have one sample a second


class MarkovModel(BaseModel):
    """Fitted parameters: levels in Mbit/s (state 0 is the outage), log-standard deviation per
    state, transitions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    smoothing_s: int
    levels_mbps: tuple[float, ...]
    log_std: tuple[float, ...]
    log_autocorrelation: Annotated[float, Field(gt=-1, lt=1)]
    transitions: tuple[tuple[float, ...], ...]
    burst_packets: float | None = None

    def stationary(self) -> Float64s:
        """Long-run share of each state: float64[k + 1]."""
        matrix = np.array(self.transitions)
        system = np.vstack([matrix.T - np.eye(len(matrix)), np.ones(len(matrix))])
        shares = np.linalg.lstsq(system, np.append(np.zeros(len(matrix)), 1.0), rcond=None)[0]
        clean = np.clip(shares, 0.0, None)
        return np.asarray(clean / clean.sum())

    def mean_mbps(self) -> float:
        """Long-run mean rate."""
        return float(self.stationary() @ np.array(self.levels_mbps))

    def rates_mbps(self, count: int, rng: np.random.Generator) -> Float64s:
        """`count` seconds, begun in the stationary distribution: float64[count]."""
        cumulative = np.cumsum(self.transitions, axis=1)
        cumulative /= cumulative[:, -1:]
        uniform, noise = rng.random(count + 1), rng.standard_normal(count)
        state = int(np.searchsorted(np.cumsum(self.stationary()), uniform[-1]))
        states = np.empty(count, dtype=np.int64)
        deviation = np.empty(count)
        rho = self.log_autocorrelation
        previous = noise[0]
        for index in range(count):
            states[index] = state = min(state, len(cumulative) - 1)
            deviation[index] = previous
            state = int(np.searchsorted(cumulative[state], uniform[index]))
            previous = rho * previous + np.sqrt(1 - rho * rho) * noise[(index + 1) % count]
        sigma = np.array(self.log_std)[states]
        return np.asarray(
            np.array(self.levels_mbps)[states] * np.exp(sigma * deviation - sigma * sigma / 2)
        )


def fit(series_mbps: Sequence[Float64s], states: int, smoothing_s: int, source: str) -> MarkovModel:
    """The model of recorded rates, one float64[n] per recording, one sample a second; smoothing_s
    is odd.
    """
    pooled = np.concatenate(series_mbps)
    outage_mbps = pooled.mean() * OUTAGE_SHARE
    smooth = [_moving_mean(one, smoothing_s) for one in series_mbps]
    running = np.concatenate(smooth)[pooled >= outage_mbps]
    edges = np.quantile(running, np.arange(1, states) / states)
    paths: list[Int64s] = [
        np.where(rates < outage_mbps, 0, 1 + np.searchsorted(edges, means))
        for rates, means in zip(series_mbps, smooth, strict=True)
    ]
    pooled_path = np.concatenate(paths)
    transitions = np.zeros((states + 1, states + 1))
    for path in paths:
        np.add.at(transitions, (path[:-1], path[1:]), 1)
    transitions[transitions.sum(axis=1) == 0, 1] = 1  # an outage that was never seen, or never left
    transitions /= transitions.sum(axis=1, keepdims=True)
    levels, log_mean, log_std = np.zeros(states + 1), np.zeros(states + 1), np.zeros(states + 1)
    for state in range(1, states + 1):
        rates = pooled[pooled_path == state]
        levels[state] = rates.mean()
        log_mean[state], log_std[state] = np.log(rates).mean(), np.log(rates).std()
    products = []
    for rates, path in zip(series_mbps, paths, strict=True):
        logs = np.log(np.maximum(rates, outage_mbps))
        deviation = (logs - log_mean[path]) / np.where(log_std[path] > 0, log_std[path], 1)
        both = (path[1:] > 0) & (path[:-1] > 0)
        products.append((deviation[1:] * deviation[:-1])[both])
    return MarkovModel(
        source=source,
        smoothing_s=smoothing_s,
        levels_mbps=tuple(np.round(levels, 3).tolist()),
        log_std=tuple(np.round(log_std, 3).tolist()),
        log_autocorrelation=round(float(np.concatenate(products).mean()), 3),
        transitions=tuple(tuple(row) for row in np.round(transitions, 4).tolist()),
    )


def _moving_mean(rates: Float64s, width: int) -> Float64s:
    padded = np.pad(rates, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
