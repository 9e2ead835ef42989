"""A model of several tasks as a player's policy."""

from __future__ import annotations

from pathlib import Path

from policy.model.policy import ModelPolicy, load_model
from policy.tasks.abr.bandwidth import Ints
from policy.tasks.abr.observation import observe
from policy.tasks.abr.padding import padded
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions


class ModelAbr(Stateless):
    """Takes the level of the highest score. Ladders longer than the model reads are refused."""

    def __init__(self, model: ModelPolicy) -> None:
        self._model = model

    def decide(self, sessions: Sessions) -> Ints:
        """Raises PolicyError for a ladder that is too long."""
        shared, by_level = observe(sessions)
        batch = self._model.task.observation(1).batch(padded(shared.numpy(), by_level.numpy()))
        levels: Ints = self._model.decide(batch, 0).level
        return levels


def load(folder: Path, device: str = "auto") -> ModelAbr:
    """The policy of a checkpoint's folder. Raises ModelError, PolicyError."""
    return ModelAbr(load_model(folder, device, task="abr"))
