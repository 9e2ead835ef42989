"""Congestion control: the window history in, a log2 multiplier on the bandwidth estimate out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.model.config import ModelConfig
from policy.model.inputs import Inputs
from policy.tasks.congestion.encoder import WindowEncoder, tokens_per_step
from policy.tasks.congestion.fields import FIELDS
from policy.tasks.congestion.head import BoundedHead


class CongestionTask:
    """Regression of a_t = log2(rate / bandwidth estimate), in [-1, 1].

    Inputs: windows [w, F] in physical units, valid [w], bandwidth_bps, min_rtt_ns, mss_bytes, and
    for the decision transformer return_to_go [w]. Target: action_log2, the hindsight near-optimal
    action (`near-optimal`) or the behaviour's own (`decision-transformer`).
    """

    name = "congestion"

    def input_shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            "windows": (config.history, len(FIELDS)),
            "valid": (config.history,),
            "bandwidth_bps": (),
            "min_rtt_ns": (),
            "mss_bytes": (),
        }
        if config.objective == "decision-transformer":
            shapes["return_to_go"] = (config.history,)
        return shapes

    def tokens(self, config: ModelConfig) -> int:
        return config.steps * tokens_per_step(config)

    def encoder(self, config: ModelConfig, hidden: int, scale: float) -> nn.Module:
        return WindowEncoder(config, hidden, scale)

    def head(self, config: ModelConfig, hidden: int) -> nn.Module:
        return BoundedHead(hidden)

    def loss(self, output: Tensor, targets: Inputs, overestimation_weight: float) -> Tensor:
        """Squared error of the log2 rate, weighted where the rate asked for is above the target."""
        error = output - targets["action_log2"]
        weight = 1.0 + (overestimation_weight - 1.0) * (error > 0)
        return (weight * error.square()).mean()

    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float64]]:
        """Relative error of the rate against the target rate: mape, and its two one-sided parts."""
        log_error = output.astype(np.float64) - targets["action_log2"]
        relative = np.exp2(log_error) - 1.0
        return {
            "mape": np.abs(relative),
            "overestimation": np.maximum(relative, 0.0),
            "underestimation": np.maximum(-relative, 0.0),
            "mse_log2": log_error**2,
        }
