"""NIOKA and its controls as policies, for any task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from policy.model.info import CheckpointInfo
from policy.tasks.registry import learned_task

KINDS = {"llm": "nioka", "gru": "gru", "mlp": "mlp", "transformer": "transformer"}
"""Policy name -> the kind of model that answers for it."""


class Engine(Protocol):
    """Runs a model: `policy.model.portable.PortableEngine` or `policy.model.engine.Engine`."""

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes, the largest last."""

    def warm_up(self) -> None:
        """Run a few batches, so that the first real one is not slower."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Outputs [n, ...] of a batch of n samples."""


class ModelPolicy:
    """Decides for all samples of a batch in one engine call; keeps no state of any. It has the
    task's `model_traits` as attributes.
    """

    def __init__(self, name: str, engine: Engine, info: CheckpointInfo) -> None:
        self.name = name
        self.task = learned_task(info.model.task)
        self.history = info.model.history
        self.max_batch = engine.buckets[-1]
        self._engine, self._info = engine, info
        for trait, value in self.task.model_traits.items():
            setattr(self, trait, value)

    def decide(self, batch: Any, now_ns: int) -> Any:
        """Actions of the task for a batch of its observation. `now_ns` is not used: the answer
        depends on the observation alone.
        """
        return self.actions(self.outputs(batch), batch)

    def actions(self, outputs: NDArray[np.float32], batch: Any) -> Any:
        """Actions of the task that these outputs are, by the checkpoint's serving settings."""
        return self.task.actions(outputs, batch, self._info.serving)

    def outputs(self, batch: Any) -> NDArray[np.float32]:
        """What the model says to a batch of the task's observation, before it is an action."""
        info = self._info
        return self._engine.run(self.task.model_inputs(batch, info.model, info.target_return))

    def forget(self, flows: Sequence[int]) -> None:
        """Nothing to do: the history comes with each batch."""
