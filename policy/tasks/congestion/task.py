"""Congestion control: the window history in, a log2 multiplier on the bandwidth estimate out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from policy.api import Actions, FlowBatch
from policy.tasks.base import (
    ActionSpec,
    Arrays,
    ArraySpec,
    Dataset,
    InputSpec,
    LearnedTask,
    Measure,
    Settings,
    TaskConfig,
)
from policy.tasks.congestion.fields import FIELDS, HISTORY
from policy.tasks.congestion.settings import (
    EncoderConfig,
    LossConfig,
    ServingConfig,
    encoder_of,
    steps,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_ESTIMATES = ("bandwidth_bps", "min_rtt_ns", "mss_bytes")


class CongestionTask(LearnedTask):
    """Regression of a_t = log2(rate / bandwidth estimate), in [-1, 1].

    A policy sees a `FlowBatch` and gives `Actions` (`policy.api`). The model's inputs: windows [w,
    F] in physical units, valid [w], bandwidth_bps, min_rtt_ns, mss_bytes, and for the decision
    transformer return_to_go [w]. Target: action_log2, the hindsight near-optimal action
    (`near-optimal`) or the behaviour's own (`decision-transformer`).
    """

    name = "congestion"
    about = "congestion control: pacing rate and cwnd of each flow, once per window"
    fields = FIELDS
    history = HISTORY
    encoder_settings = EncoderConfig
    loss_settings = LossConfig
    serving_settings = ServingConfig
    traits: ClassVar[Mapping[str, Any]] = {"yields": False}
    model_traits: ClassVar[Mapping[str, Any]] = {"yields": True}
    shown = (
        Measure("mape", "MAPE", "%", 100.0),
        Measure("overestimation", "over", "%", 100.0),
        Measure("underestimation", "under", "%", 100.0),
    )
    about_measures = (
        "Relative error of the rate against the hindsight action, in per cent; over and under are "
        "its one-sided parts, so that they add up to MAPE."
    )

    def check(self, config: TaskConfig) -> None:
        patch = encoder_of(config).patch
        if config.history % patch:
            raise ValueError(
                f"history ({config.history}) must be a multiple of encoder.patch ({patch})"
            )

    def observation(self, history: int) -> InputSpec:
        return InputSpec(
            (
                ArraySpec("flow", (), "int64", "number of the flow"),
                ArraySpec("windows", (history, len(FIELDS)), "float64", mask="valid"),
                ArraySpec("valid", (history,), "bool", "which windows the flow has had"),
                *(ArraySpec(name, (), "float64") for name in _ESTIMATES),
                ArraySpec("objective", (), "float64", "0 shortest queue … 1 all of the capacity"),
            ),
            FlowBatch,
        )

    def action(self) -> ActionSpec:
        return ActionSpec(
            (
                ArraySpec("pacing_rate_bps", (), "float64", "of payload"),
                ArraySpec("cwnd_packets", (), "float64", "not rounded"),
            ),
            Actions,
        )

    def inputs(self, config: TaskConfig) -> InputSpec:
        arrays = [
            ArraySpec("windows", (config.history, len(FIELDS)), mask="valid"),
            ArraySpec("valid", (config.history,)),
            *(ArraySpec(name) for name in _ESTIMATES),
        ]
        if config.objective == "decision-transformer":
            arrays.append(ArraySpec("return_to_go", (config.history,)))
        if encoder_of(config).objective:
            arrays.append(ArraySpec("objective"))
        return InputSpec(tuple(arrays))

    def tokens(self, config: TaskConfig) -> int:
        from policy.tasks.congestion.encoder import tokens_per_step

        return steps(config) * tokens_per_step(config)

    def encoder(self, config: TaskConfig, hidden: int, scale: float) -> nn.Module:
        from policy.tasks.congestion.encoder import WindowEncoder

        return WindowEncoder(config, hidden, scale)

    def head(self, config: TaskConfig, hidden: int) -> nn.Module:
        from policy.tasks.congestion.head import BoundedHead

        return BoundedHead(hidden)

    def dataset(self, folder: Path) -> Dataset:
        from policy.tasks.congestion.dataset import CongestionDataset

        return CongestionDataset(folder)

    def loss(self, output: Tensor, targets: Mapping[str, Tensor], settings: Settings) -> Tensor:
        """Squared error of the log2 rate, weighted where the rate asked for is above the target."""
        import torch

        assert isinstance(settings, LossConfig)
        error = output - targets["action_log2"]
        over = torch.full_like(error, settings.overestimation_weight)
        if "overestimation_weight" in targets:  # of the sample's objective
            over = over * targets["overestimation_weight"]
        weight = torch.where(error > 0, over, 1.0)
        return (weight * error.square()).mean()

    def constant_loss(self, targets: Mapping[str, NDArray[Any]], settings: Settings) -> float:
        """Of the labels' expectile (Newey, Powell, 1987); of their mean without weighting."""
        assert isinstance(settings, LossConfig)
        action = targets["action_log2"].astype(np.float64)
        over = settings.overestimation_weight * targets.get("overestimation_weight", 1.0)
        best, weight = action.mean(), np.ones_like(action)
        for _ in range(100):
            weight = np.where(best > action, over, 1.0)
            best = np.average(action, weights=weight)
        return float((weight * (best - action) ** 2).mean())

    def about_loss(self, settings: Settings) -> str:
        assert isinstance(settings, LossConfig)
        weight = settings.overestimation_weight
        return f"squared error of the log2 rate, over-estimation weighted {weight:g}"

    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[Any]]
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

    def model_inputs(
        self, batch: FlowBatch, config: TaskConfig, target_return: float | None
    ) -> Arrays:
        windows, valid = fit_history(batch.windows, batch.valid, config.history)
        inputs: Arrays = {"windows": windows, "valid": valid.astype(np.float32)}
        inputs |= {name: getattr(batch, name) for name in _ESTIMATES}
        if target_return is not None:
            inputs["return_to_go"] = np.float32(target_return) * valid
        if encoder_of(config).objective:
            inputs["objective"] = batch.objective
        return inputs

    def actions(self, output: NDArray[np.float32], batch: FlowBatch, settings: Settings) -> Actions:
        from policy.tasks.congestion.cwnd import rate_and_cwnd
        from policy.tasks.congestion.probing import growth

        assert isinstance(settings, ServingConfig)
        least = growth(batch, settings.probe_growth)
        rate_bps, cwnd_packets = rate_and_cwnd(
            output + np.log2(settings.rate_gain),
            batch.bandwidth_bps,
            batch.min_rtt_ns,
            batch.mss_bytes,
            settings,
            batch.objective,
            # An answer may ask for less than the estimate where a flow has nothing to probe for.
            np.where(least > 1.0, least, 0.0),
        )
        return Actions(pacing_rate_bps=rate_bps, cwnd_packets=cwnd_packets)


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
