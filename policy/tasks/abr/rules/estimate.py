"""Throughput estimates that rules share."""

from __future__ import annotations

import numpy as np

from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.session import State
from policy.tasks.abr.video import Video


def measured_kbps(state: State) -> Floats:
    """Throughput of the last chunks, the request's round trip included [n, HISTORY]; 0 where
    none.
    """
    kbps: Floats = state.size_bits / np.where(state.download_ms > 0, state.download_ms, np.inf)
    return kbps


def harmonic_mean_kbps(kbps: Floats, window: int = 5) -> Floats:
    """Harmonic mean of the newest `window` values above 0 along the last axis; 0 if there is
    none.
    """
    newest = kbps[..., -window:]
    known = newest > 0
    inverse = np.where(known, 1.0 / np.where(known, newest, 1.0), 0.0).sum(axis=-1)
    mean: Floats = np.where(
        inverse > 0, known.sum(axis=-1) / np.where(inverse > 0, inverse, 1.0), 0.0
    )
    return mean


class Ewma:
    """The lesser of two moving averages of throughput and the greater of two of latency, as
    dash.js has them.

    Half-lives of 8 s and 3 s of download time (latency: as many chunks), corrected for the start;
    the formulas of Sabre's `Ewma` (Spiteri et al., MMSys 2018). Throughput leaves the request's
    round trip out.
    """

    HALF_LIFE_MS = np.array([8000.0, 3000.0])

    def __init__(self, video: Video, n: int) -> None:
        self._latency_half_life = self.HALF_LIFE_MS / video.chunk_ms
        self._kbps, self._latency = np.zeros((n, 2)), np.zeros((n, 2))
        self._time_ms, self._chunks = np.zeros((n, 1)), 0
        self.kbps: Floats = np.zeros(n)
        self.latency_ms: Floats = np.zeros(n)

    def push(self, state: State) -> None:
        """Takes in the newest chunk of every session."""
        latency = state.latency_ms[:, -1:]
        time = state.download_ms[:, -1:] - latency
        alpha = 0.5 ** (time / self.HALF_LIFE_MS)
        self._kbps = alpha * self._kbps + (1 - alpha) * (state.size_bits[:, -1:] / time)
        alpha = 0.5 ** (1 / self._latency_half_life)
        self._latency = alpha * self._latency + (1 - alpha) * latency
        self._time_ms = self._time_ms + time
        self._chunks += 1
        self.kbps = (self._kbps / (1 - 0.5 ** (self._time_ms / self.HALF_LIFE_MS))).min(axis=1)
        self.latency_ms = (
            self._latency / (1 - 0.5 ** (self._chunks / self._latency_half_life))
        ).max(axis=1)


def highest_below(video: Video, kbps: Floats, latency_ms: Floats) -> np.ndarray:
    """The highest level whose chunk, at nominal rate and after `latency_ms`, arrives within its
    duration [n].
    """
    rates = video.bitrates_kbps[None, 1:]
    fits = latency_ms[:, None] + video.chunk_ms * rates / kbps[:, None] <= video.chunk_ms
    levels: np.ndarray = np.cumprod(fits, axis=1).sum(axis=1)
    return levels
