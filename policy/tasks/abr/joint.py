"""A model of several tasks as a player's policy."""

from __future__ import annotations

from typing import Any, Protocol

from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.observation import observe
from policy.tasks.abr.padding import padded
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions
from policy.tasks.registry import learned_task


class Decides(Protocol):
    """A model in this process or in another."""

    def decide(self, batch: Any, now_ns: int) -> Any:
        """The task's actions for a batch of its observation."""


class ModelAbr(Stateless):
    """Takes the level of the highest score. Ladders longer than the model reads are refused."""

    def __init__(self, model: Decides) -> None:
        self._model = model

    def decide(self, sessions: Sessions) -> Ints:
        """Raises PolicyError for a ladder that is too long."""
        shared, by_level = observe(sessions)
        batch = learned_task("abr").observation(1).batch(padded(shared, by_level))
        levels: Ints = self._model.decide(batch, 0).level
        return levels
