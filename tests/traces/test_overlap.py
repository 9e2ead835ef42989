"""Recordings that overlap are found; others are not."""

from __future__ import annotations

import numpy as np

from traces import Steps, Trace
from traces.overlap import overlap

S = 1_000_000_000


def trace(rates_mbps: np.ndarray, step_ns: int = S) -> Trace:
    starts = np.arange(len(rates_mbps)) * step_ns
    return Trace("t", len(rates_mbps) * step_ns, Steps(starts, np.round(rates_mbps * 1e6)))


def random_walk(seed: int, seconds: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.exp(np.cumsum(rng.normal(0, 0.1, seconds)) * 0.3 + rng.normal(0, 0.3, seconds))


def test_slices_of_one_recording_share_windows() -> None:
    rates = random_walk(1, 400)
    found = overlap(trace(rates[:300]), trace(rates[260:]))
    # Samples 260 to 299 are in both: 40 samples have 33 windows of 8.
    assert found.equal_windows == 33
    assert found.found


def test_the_same_recording_with_other_steps_is_found_by_correlation() -> None:
    rates = random_walk(2, 400)
    halves = np.repeat(rates[50:] * 1.5, 2)
    found = overlap(trace(rates), trace(halves, S // 2))
    assert found.equal_windows == 0
    assert found.correlation > 0.999
    assert found.found


def test_other_recordings_are_told_apart() -> None:
    found = overlap(trace(random_walk(3, 400)), trace(random_walk(4, 400)))
    assert found.equal_windows == 0
    assert not found.found
    constant = trace(np.full(400, 5.0))
    assert not overlap(constant, constant).found
    assert np.isnan(overlap(constant, trace(random_walk(5, 50))).correlation)
