"""NIOKA and its controls as policies, for any task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy.model import checkpoint
from policy.model.checkpoint import CheckpointInfo
from policy.model.engine import Engine, best_variant, checked, make_engine, resolve_device
from policy.model.errors import ModelError
from policy.model.weights import cache_root
from policy.tasks.registry import learned_task

KINDS = {"llm": "nioka", "gru": "gru", "mlp": "mlp", "transformer": "transformer"}
"""Policy name -> the kind of model that answers for it."""
VARIANT = "TBTEST_ENGINE"
"""Environment variable: how the LLM's engine runs (`policy.model.engine.Variant`), instead of the
default.
"""


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
        info = self._info
        inputs = self.task.model_inputs(batch, info.model, info.target_return)
        return self.task.actions(self._engine.run(inputs), batch, info.serving)

    def forget(self, flows: Sequence[int]) -> None:
        """Nothing to do: the history comes with each batch."""


def load_policy(
    name: str,
    checkpoint_path: str | Path | None = None,
    device: str = "auto",
    task: str | None = None,
) -> ModelPolicy:
    """The model policy `name` ("llm", "gru", "mlp", "transformer"), loaded and warmed up.

    Args:
        checkpoint_path: folder or bundled name; by default the bundled checkpoint of that name.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        task: what the checkpoint must be for; None: any task.

    Raises:
        ModelError: no such policy, checkpoint or engine variant, or the checkpoint is of another
            kind or task.
    """
    if name not in KINDS:
        raise ModelError(f"no model policy {name!r}; known: {', '.join(KINDS)}")
    folder = checkpoint.resolve(checkpoint_path or name)
    # Where the compiler keeps its results, unless its own variable says so; loading a model would
    # settle it otherwise.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
    model, info = checkpoint.load(folder)
    if info.model.kind != KINDS[name]:
        raise ModelError(
            f"{folder} holds a {info.model.kind} model; policy {name!r} needs {KINDS[name]}"
        )
    if task is not None and info.model.task != task:
        raise ModelError(f"{folder} is for task {info.model.task!r}; {task!r} is wanted")
    device = resolve_device(device)
    variant = best_variant(model, device)
    if info.model.kind == "nioka" and VARIANT in os.environ:
        variant = checked(os.environ[VARIANT])
    engine = make_engine(model, device, variant)
    engine.warm_up()
    return ModelPolicy(name, engine, info)
