"""Thresholds that follow the load and the model's worth: `scheduler: adaptive`. Pure.

All thresholds of the rules are multiplied by one factor, 2 to the power of `level`. A histogram of
the flows' difficulties says how many windows each level would call difficult; the level goes
towards the lowest one that calls no more than the model can answer in time: a share of the engine's
throughput, which falls when windows are refused or late. So it needs no search, and it does not
swing: a move is bounded, and a small difference is no reason for one.

Bins of difficulty in which the model is shown to gain next to nothing over the rule policy, or to
lose, are left to the rule policy. A small share of the windows is decided the other way round until
both are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.scheduler.base import Load
from policy.scheduler.room import Room
from policy.scheduler.rules import Reason, RuleScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.scheduler.value import Value, bins, log_power

Floats = NDArray[np.float64]
_STEP = 0.25  # octaves of a bin of the histogram
_EDGES = np.arange(-3.0, 5.0 + _STEP, _STEP)
_STILL = 4  # intervals without a move
_MOST_HELD = 3.0
_KNOWN, _KNOWN_EXPLORE = 0.1, 0.1  # octaves; share of the exploring that goes on then
_OFF = 2.0**-0.5
_STATE = 1


class AdaptiveScheduler:
    """See `policy.scheduler.base.Scheduler` and `Adapts`."""

    def __init__(
        self, flows: int, thresholds: ApcConfig, config: AdaptiveConfig, seed: int = 0
    ) -> None:
        self._thresholds, self.config = _short(thresholds), config
        self._rules = RuleScheduler(flows, self._thresholds)
        self.history = self._rules.history
        self.level = 0.0
        self.value = Value()
        self._random = np.random.default_rng(seed)
        self._counts: Floats = np.zeros(len(_EDGES))  # windows by difficulty, of the last seconds
        self._weight_s = 0.0  # how many seconds the counts stand for
        self._asked = 0.0  # windows called difficult in that time
        self._hold, self._still = 1.0, 0
        self._room = Room(config)
        self._bin = np.zeros(flows, np.int64)  # of the window before
        self._power: Floats = np.full(flows, np.nan)
        self._before = np.zeros(flows, bool)  # whether the model had answered the one before
        self._judge()

    def observe(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """See Scheduler."""
        bits = self._rules.observe(batch)
        difficulty = self._rules.difficulty + self.level
        place = np.clip(np.searchsorted(_EDGES, difficulty, side="right") - 1, 0, len(_EDGES) - 1)
        self._counts += np.bincount(place, minlength=len(_EDGES))
        bin_ = self._bin[batch.flow] = bins(difficulty)
        self._power[batch.flow] = log_power(batch)
        bits[self._idle[bin_]] = 0
        if self.config.explore > 0:
            flipped = self._random.random(len(batch)) < self._explore[bin_]
            bits[flipped] = np.where(bits[flipped] > 0, 0, Reason.EXPLORED)
        return bits

    def feedback(self, batch: FlowBatch, by_model: NDArray[np.bool_]) -> None:
        """See Scheduler."""
        outcome = log_power(batch) - self._power[batch.flow]
        known = np.isfinite(outcome)
        flows, by_model = batch.flow[known], by_model[known]
        self.value.add(self._bin[flows], self._before[flows], by_model, outcome[known])
        self._before[flows] = by_model

    def forget(self, flows: Sequence[int]) -> None:
        """See Scheduler."""
        self._rules.forget(flows)
        self._power[flows], self._before[flows] = np.nan, False

    def measured(self, load: Load) -> None:
        """Move the thresholds: see the module."""
        config, interval_s = self.config, load.interval_ns / 1e9
        if interval_s <= 0:
            return
        self._weight_s += interval_s
        self._asked += load.candidates
        self._judge()
        self._room.learn(load)
        self._move(self._wanted(load.capacity_per_s))
        decay = 0.5 ** (interval_s / config.half_life_s)
        self._counts *= decay
        self._weight_s *= decay
        self._asked *= decay

    def _judge(self) -> None:
        """In which bins the model gains too little, and how often to look otherwise."""
        config = self.config
        self._idle = self.value.idle(config.least_gain)
        known = ~self.value.unknown(_KNOWN)
        self._explore = config.explore * np.where(known, _KNOWN_EXPLORE, 1.0)

    def _wanted(self, capacity_per_s: float) -> float:
        """The lowest level that calls no more windows difficult than the model answers in time."""
        config = self.config
        per_s = np.where(self._idle[bins(_EDGES)], 0.0, self._counts) / self._weight_s
        above = np.cumsum(per_s[::-1])[::-1]
        self._settle(above)
        room = self._room.share * capacity_per_s
        levels = np.flatnonzero(self._hold * above <= room)
        wanted = _EDGES[levels[0]] if len(levels) else config.highest
        return float(np.clip(wanted, config.lowest, config.highest))

    def _settle(self, above: Floats) -> None:
        """Learn how many windows are held difficult for each that is above the thresholds now: a
        rule goes on until it has been calm. While the level moves, that says nothing.
        """
        here = above[min(int(np.searchsorted(_EDGES, self.level)), len(above) - 1)]
        if self._still >= _STILL and here > 0:
            seen = np.clip(self._asked / self._weight_s / here, 1.0, _MOST_HELD)
            self._hold += (float(seen) - self._hold) / 8

    def _move(self, wanted: float) -> None:
        distance = wanted - self.level
        if abs(distance) <= self.config.deadband:
            self._still += 1
            return
        self._still = 0
        self.level += float(np.clip(distance, -self.config.fall, self.config.rise))
        self._rules.set_thresholds(self._thresholds.scaled(2.0**self.level))

    def state(self) -> dict[str, Any]:
        """See Adapts."""
        return {"version": _STATE, "level": self.level, "value": self.value.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See Adapts."""
        if state.get("version") != _STATE:
            raise ValueError(f"version {state.get('version')!r}; this server reads {_STATE}")
        level, value = state.get("level"), state.get("value")
        if not isinstance(level, int | float) or not -3 <= level <= 5:
            raise ValueError(f"level {level!r} is not within -3 .. 5")
        if not isinstance(value, Mapping):
            raise ValueError("value is missing")  # noqa: TRY004  # of a file, not of a caller
        self.value.restore(value)
        self.level = float(np.clip(level, self.config.lowest, self.config.highest))
        self._rules.set_thresholds(self._thresholds.scaled(2.0**self.level))


def _short(thresholds: ApcConfig) -> ApcConfig:
    """The same thresholds with half an octave of hysteresis and no calm: the windows above a level
    are then nearly those that it calls difficult, whatever the level.
    """
    rules = ("loss", "queueing", "rising", "volatility")
    off = {f"{rule}_off": getattr(thresholds, f"{rule}_on") * _OFF for rule in rules}
    return thresholds.model_copy(update={**off, "calm_windows": 1})
