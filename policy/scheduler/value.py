"""What the model's answers are worth beside the rule policy's, by difficulty. Pure.

A flow's outcome is how the logarithm of its power changed from one window to the next: delivery
rate less losses, over RTT (Kleinrock, "Power and deterministic rules of thumb", ICC 1979). In each
bin of difficulty the mean outcome after answers of the model is compared with that after answers
of the rule policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.tasks.congestion.fields import F

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
LOWEST, HIGHEST = -3, 5
"""Difficulties of the outer bins, in octaves of the thresholds; one bin an octave."""
BINS = HIGHEST - LOWEST + 1
_SHAPE = (2, 2, BINS)
_FLOOR = 2.0**-6  # of the bandwidth estimate: less delivered counts as this
_LARGEST = 4.0  # change of the logarithm that counts
_ENOUGH = 30.0  # outcomes of either kind before a bin is judged
_MEMORY = 2000.0  # outcomes of a kind that a bin remembers
_SURE = 2.0  # standard errors


def bins(difficulty: Floats) -> Ints:
    """The bin of each difficulty, log2 of the largest measure over its threshold."""
    return np.clip(np.floor(difficulty), LOWEST, HIGHEST).astype(np.int64) - LOWEST


def log_power(batch: FlowBatch) -> Floats:
    """log2 of delivery rate over RTT of each flow's newest window, relative to the flow's own
    estimates; float64[n].
    """
    newest = batch.windows[:, -1]
    rate = newest[:, F["delivery_rate_bps"]] * (1 - np.clip(newest[:, F["loss_rate"]], 0, 1))
    rtt = np.maximum(newest[:, F["rtt_mean_ns"]], batch.min_rtt_ns)
    relative = np.maximum(rate / batch.bandwidth_bps, _FLOOR)
    power: Floats = np.log2(relative * batch.bandwidth_bps) - np.log2(rtt)
    return power


class Value:
    """Means and mean squares of outcomes, float64[2, 2, BINS]: by who had answered the window
    before (an answer's effect goes on, so both kinds are to begin alike), by who answered this one
    (0 the rule policy, 1 the model), and by bin.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.square = (np.zeros(_SHAPE) for _ in range(3))

    def add(self, bin_: Ints, before: Bools, by_model: Bools, outcome: Floats) -> None:
        """Outcomes of flows that were in these bins; before: whether the model had answered the
        window before; [n] each.
        """
        outcome = np.clip(outcome, -_LARGEST, _LARGEST)
        cell = (before * 2 + by_model) * BINS + bin_
        n, total, squares = (
            # Of no outcomes NumPy counts integers.
            np.bincount(cell, weights, 4 * BINS).reshape(_SHAPE).astype(np.float64)
            for weights in (np.ones(len(cell)), outcome, outcome**2)
        )
        # What is older counts less, by as much as keeps the count at the memory's length.
        count = np.minimum(self.count, np.maximum(_MEMORY - n, 0.0)) + n
        share = np.divide(n, count, out=np.zeros_like(n), where=count > 0)
        some = np.maximum(n, 1)
        self.mean += share * (total / some - self.mean)
        self.square += share * (squares / some - self.square)
        self.count = count

    def gain(self) -> tuple[Floats, Floats]:
        """Mean gain of the model over the rule policy in each bin and its standard error; 0 and
        infinity where too little is known.
        """
        variance = np.maximum(self.square - self.mean**2, 1e-6)
        known = (self.count >= _ENOUGH).all(axis=1)
        error = (variance / np.maximum(self.count, 1)).sum(axis=1)
        # Of the two that began alike, each by how well it is known.
        weight = np.where(known, 1 / error, 0.0)
        total = weight.sum(axis=0)
        sum_ = (weight * (self.mean[:, 1] - self.mean[:, 0])).sum(axis=0)
        with np.errstate(divide="ignore"):
            return np.divide(sum_, total, out=np.zeros(BINS), where=total > 0), total**-0.5

    def idle(self, least: float) -> Bools:
        """Bins in which the model's answers are shown to gain less than `least` octaves."""
        gain, error = self.gain()
        shown: Bools = gain + _SURE * error < least
        return shown

    def unknown(self, octaves: float) -> Bools:
        """Bins whose gain is known less exactly than to this standard error."""
        vague: Bools = self.gain()[1] > octaves
        return vague

    def state(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {name: getattr(self, name).tolist() for name in ("count", "mean", "square")}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for what `state` did not give."""
        read = {}
        for name in ("count", "mean", "square"):
            array = np.array(state.get(name), np.float64)
            if array.shape != _SHAPE or not np.isfinite(array).all():
                raise ValueError(f"value.{name} is no array of 2 x 2 x {BINS} numbers")
            read[name] = array
        if (read["count"] < 0).any() or (read["count"] > _MEMORY).any():
            raise ValueError(f"value.count is not within 0 .. {_MEMORY:g}")
        self.count, self.mean, self.square = read.values()
