"""NIOKA and its controls as tiers of the policy server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch
from policy.model import checkpoint
from policy.model.config import ModelConfig
from policy.model.engine import Engine, best_variant, checked, make_engine, resolve_device
from policy.model.errors import ModelError
from policy.model.weights import cache_root
from policy.tasks.congestion.head import rate_and_cwnd

TIERS = {"llm": "nioka", "gru": "gru", "mlp": "mlp", "transformer": "transformer"}
"""Policy name -> the kind of model that answers for it."""
VARIANT = "TBTEST_ENGINE"
"""Environment variable: how the LLM's engine runs (`policy.model.engine.Variant`), instead of the
default.
"""


RATE_GAIN = 1.06
"""On every answer: a squared error of logarithms leads to the geometric mean of the rates that were
right, which is below their mean. Chosen in the closed loop on validation traces
(docs/results/training.md)."""


class ModelTier:
    """Decides for all flows of a batch in one engine call; keeps no state of any flow."""

    yields = True

    def __init__(
        self, name: str, engine: Engine, config: ModelConfig, target_return: float | None
    ) -> None:
        self.name = name
        self._engine = engine
        self.history = config.history
        self.max_batch = engine.buckets[-1]
        self._target_return = target_return

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """Rate and cwnd for every flow. `now_ns` is not used: the answer depends on the windows
        alone.
        """
        action_log2 = self._engine.run(self._inputs(batch)) + np.log2(RATE_GAIN)
        rate_bps, cwnd_packets = rate_and_cwnd(
            action_log2, batch.bandwidth_bps, batch.min_rtt_ns, batch.mss_bytes
        )
        return Actions(pacing_rate_bps=rate_bps, cwnd_packets=cwnd_packets)

    def forget(self, flows: Sequence[int]) -> None:
        """Nothing to do: the history comes with each batch."""

    def _inputs(self, batch: FlowBatch) -> dict[str, NDArray[np.floating]]:
        windows, valid = fit_history(batch.windows, batch.valid, self.history)
        inputs: dict[str, NDArray[np.floating]] = {
            "windows": windows,
            "valid": valid.astype(np.float32),
            "bandwidth_bps": batch.bandwidth_bps,
            "min_rtt_ns": batch.min_rtt_ns,
            "mss_bytes": batch.mss_bytes,
        }
        if self._target_return is not None:
            inputs["return_to_go"] = np.float32(self._target_return) * valid
        return inputs


def fit_history(
    windows: NDArray[np.float64], valid: NDArray[np.bool_], history: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The newest `history` windows of [n, w, F] and [n, w], with absent ones in front where there
    are fewer.
    """
    n, w, fields = windows.shape
    if w >= history:
        return windows[:, w - history :], valid[:, w - history :]
    missing = history - w
    return (
        np.concatenate([np.zeros((n, missing, fields)), windows], axis=1),
        np.concatenate([np.zeros((n, missing), bool), valid], axis=1),
    )


def load_tier(
    name: str, checkpoint_path: str | Path | None = None, device: str = "auto"
) -> ModelTier:
    """The tier `name` ("llm", "gru", "mlp", "transformer"), loaded and warmed up.

    Args: checkpoint_path: folder or bundled name; by default the bundled checkpoint of the tier's
        name. device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …

    Raises: ModelError: no such tier, checkpoint or engine variant, or the checkpoint is of another
        kind.
    """
    if name not in TIERS:
        raise ModelError(f"no model tier {name!r}; known: {', '.join(TIERS)}")
    folder = checkpoint.resolve(checkpoint_path or name)
    # Where the compiler keeps its results, unless its own variable says so; loading a model would
    # settle it otherwise.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
    model, info = checkpoint.load(folder)
    if info.model.kind != TIERS[name]:
        raise ModelError(
            f"{folder} holds a {info.model.kind} model; tier {name!r} needs {TIERS[name]}"
        )
    device = resolve_device(device)
    variant = best_variant(model, device)
    if info.model.kind == "nioka" and VARIANT in os.environ:
        variant = checked(os.environ[VARIANT])
    engine = make_engine(model, device, variant)
    engine.warm_up()
    return ModelTier(name, engine, info.model, info.target_return)
