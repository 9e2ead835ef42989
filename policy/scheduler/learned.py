"""The model answers where it is predicted to gain most: `scheduler: learned`. Pure.

A small network predicts from a flow's windows what the model's answer is worth over the rule
policy's, in octaves of power. It was fitted to pairs of answers from the same state
(`experiments/apc/learned.py`). All flows cost the engine the same, so the most gain for the cost is
the most gain: the flows above one level go to the model. The level is the lowest that calls no more
of them than the engine answers in time, by a histogram of the predictions, and never below zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.errors import PolicyError
from policy.scheduler.base import Load
from policy.scheduler.features import COUNT, NAMES, WINDOWS, scores
from policy.scheduler.room import Room
from policy.scheduler.rules import Reason, RuleScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig

Floats = NDArray[np.float64]
Network = tuple[Floats, Floats, Floats, float]
FILE = "learned.json"
_EDGES = np.linspace(0.0, 1.0, 101)  # octaves
_STATE = 1


@cache
def shipped() -> Network:
    """The network beside this module. Raises PolicyError."""
    text = resources.files("policy.scheduler").joinpath(FILE).read_text(encoding="utf-8")
    return read_network(json.loads(text), FILE)


def read_network(data: Mapping[str, Any], source: str) -> Network:
    """Weights from JSON, for `policy.scheduler.features.scores`. Raises PolicyError."""
    if data.get("names") != list(NAMES):
        raise PolicyError(f"{source}: made for other features; run experiments.apc.learned again")
    hidden = np.array(data.get("inner_weight"), np.float64)
    bias = np.array(data.get("inner_bias"), np.float64)
    outer = np.array(data.get("outer_weight"), np.float64)
    last = np.array(data.get("outer_bias"), np.float64)
    fits = hidden.ndim == 2 and hidden.shape[1] == COUNT and bias.shape == outer.shape
    if not fits or bias.shape != hidden.shape[:1] or last.shape != ():
        raise PolicyError(f"{source}: the shapes of its weights do not fit together")
    if not all(np.isfinite(each).all() for each in (hidden, bias, outer, last)):
        raise PolicyError(f"{source}: its weights are not finite")
    return hidden, bias, outer, float(last)


class LearnedScheduler:
    """See `policy.scheduler.base.Scheduler` and `Adapts`."""

    def __init__(
        self,
        flows: int,
        thresholds: ApcConfig,
        config: AdaptiveConfig,
        network: Network | None = None,
    ) -> None:
        """thresholds: of the rules, which name the reasons; config: share, refused_share,
        late_share and half_life_s of it are read; network: instead of the shipped one.
        """
        self._network = network or shipped()
        self._rules = RuleScheduler(flows, thresholds)
        self.history = max(WINDOWS, self._rules.history)
        self.level = 0.0
        self._config, self._room = config, Room(config)
        self._counts: Floats = np.zeros(len(_EDGES))
        self._weight_s = 0.0

    def observe(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """See Scheduler."""
        bits = self._rules.observe(batch)
        gain = scores(batch, self._network)
        called = gain > self.level
        place = np.searchsorted(_EDGES, gain[gain > 0], side="right") - 1
        self._counts += np.bincount(place, minlength=len(_EDGES))
        bits[called] |= np.uint8(Reason.LEARNED)
        bits[~called] = 0
        return bits

    def feedback(self, batch: FlowBatch, by_model: NDArray[np.bool_]) -> None:
        """See Scheduler: it has learnt before."""

    def forget(self, flows: Sequence[int]) -> None:
        """See Scheduler."""
        self._rules.forget(flows)

    def measured(self, load: Load) -> None:
        """Move the level: see the module."""
        interval_s = load.interval_ns / 1e9
        if interval_s <= 0:
            return
        self._weight_s += interval_s
        self._room.learn(load)
        above_per_s = np.cumsum(self._counts[::-1])[::-1] / self._weight_s
        fits = np.flatnonzero(above_per_s <= self._room.share * load.capacity_per_s)
        self.level = float(_EDGES[fits[0]]) if len(fits) else float(_EDGES[-1])
        decay = 0.5 ** (interval_s / self._config.half_life_s)
        self._counts *= decay
        self._weight_s *= decay

    def state(self) -> dict[str, Any]:
        """See Adapts."""
        return {"version": _STATE, "level": self.level}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See Adapts."""
        level = state.get("level")
        if state.get("version") != _STATE:
            raise ValueError(f"version {state.get('version')!r}; this server reads {_STATE}")
        if not isinstance(level, int | float) or not 0 <= level <= 1:
            raise ValueError(f"level {level!r} is not within 0 .. 1")
        self.level = float(level)
