"""Cluster job scheduling as a task: the cluster's jobs in, a stage and its executors out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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
from policy.tasks.cjs.actions import TEMPERATURE_S, decoded
from policy.tasks.cjs.inputs import (
    CANDIDATES,
    SHAPES,
    TOKENS,
    EncoderConfig,
)
from policy.tasks.cjs.simulator.observe import CLUSTER_FEATURES, JOB_FEATURES, STAGE_FEATURES

if TYPE_CHECKING:
    from torch import Tensor, nn


class LossSettings(Settings):
    """What is minimised: expected regret in units of 2 job seconds, and some cross entropy."""

    regret: float = Field(default=1.0, ge=0, le=1e6, description="weight of the expected regret")
    cross_entropy: float = Field(
        default=0.1, ge=0, le=1e6, description="weight of the cross entropy to the soft labels"
    )


class CjsTask(LearnedTask):
    """README.md of this folder describes observation, action and reward.

    The model learns from the rollout teacher's costs (`labels.py`): it is to choose among the
    actions that were rolled out so that the expected cost is small. As a decision transformer it
    learns what was taken, given what came of it (`returns.py`).
    """

    name = "cjs"
    about = "cluster job scheduling: the next stage to run, and on how many executors"
    fields = (*STAGE_FEATURES, *JOB_FEATURES, *CLUSTER_FEATURES)
    encoder_settings = EncoderConfig
    loss_settings = LossSettings
    commands: ClassVar[Mapping[str, str]] = {"collect": "policy.tasks.cjs.commands:collect"}
    shown = (
        Measure("regret_s", "regret", "job s"),
        Measure("best", "best action", "%", 100.0),
        Measure("labelled", "rolled-out action", "%", 100.0),
    )
    about_measures = (
        "Regret: what the action costs above the best one that was rolled out, in job seconds; an "
        "action that was not rolled out counts as the worst one that was."
    )

    def check(self, config: TaskConfig) -> None:
        if config.history != 1:
            raise ValueError(f"history is {config.history}: cjs has no history, give 1")

    def observation(self, history: int) -> InputSpec:
        return InputSpec(
            (
                *_arrays(),
                ArraySpec("stage_number", (CANDIDATES,), "int64", "-1 passes", "exists"),
            )
        )

    def action(self) -> ActionSpec:
        return ActionSpec(
            (
                ArraySpec("stage", (), "int64", "-1 passes"),
                ArraySpec("executors", (), "int64", "to commit; 0 when passing"),
            )
        )

    def inputs(self, config: TaskConfig) -> InputSpec:
        if config.objective == "decision-transformer":
            return InputSpec((*_arrays(), ArraySpec("return_to_go", ())))
        return InputSpec(_arrays())

    def tokens(self, config: TaskConfig) -> int:
        return TOKENS

    def positions(self, config: TaskConfig) -> int:
        return CANDIDATES

    def encoder(self, config: TaskConfig, hidden: int, scale: float) -> nn.Module:
        from policy.tasks.cjs.encoder import GraphEncoder

        return GraphEncoder(config, hidden, scale)

    def head(self, config: TaskConfig, hidden: int) -> nn.Module:
        from policy.tasks.cjs.head import PointerHead

        assert isinstance(config.encoder, EncoderConfig)
        return PointerHead(hidden, config.encoder.actions == "proposed")

    def dataset(self, folder: Path) -> Dataset:
        from policy.tasks.cjs.dataset import CjsDataset

        return CjsDataset(folder)

    def loss(self, output: Tensor, targets: Mapping[str, Tensor], settings: Settings) -> Tensor:
        """Expected regret, which noise in the costs does not bias, and cross entropy to the soft
        labels. An action that was not rolled out counts as the worst one that was.
        """
        assert isinstance(settings, LossSettings)
        # An action that the head rules out, as one beyond the executors at hand, has no gradient.
        flat = output.flatten(1).gather(1, targets["action"].long()).clamp(min=-30.0)
        entropy = -(targets["weight"] * flat).sum(dim=1).mean()
        worst = targets["regret_s"].amax(dim=1, keepdim=True)
        gain = (flat.exp() * (targets["weight"] > 0) * (worst - targets["regret_s"])).sum(dim=1)
        regret = (worst[:, 0] - gain).mean() / TEMPERATURE_S
        return settings.regret * regret + settings.cross_entropy * entropy

    def constant_loss(self, targets: Mapping[str, NDArray[Any]], settings: Settings) -> float:
        """Of the labels' mean over all samples as the output."""
        assert isinstance(settings, LossSettings)
        action, weight, regret_s = (targets[name] for name in ("action", "weight", "regret_s"))
        mass = np.bincount(action.ravel(), weight.ravel())
        share = mass / mass.sum()
        entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
        worst = regret_s.max(axis=1, keepdims=True)
        gain = (share[action] * (weight > 0) * (worst - regret_s)).sum(axis=1)
        regret = (worst[:, 0] - gain).mean() / TEMPERATURE_S
        return float(settings.regret * regret + settings.cross_entropy * entropy)

    def about_loss(self, settings: Settings) -> str:
        assert isinstance(settings, LossSettings)
        return (
            f"{settings.regret:g} x expected regret of the action / {TEMPERATURE_S:g} job s + "
            f"{settings.cross_entropy:g} x cross entropy to a softmax of the costs of the actions "
            "that were rolled out"
        )

    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[np.float64]]:
        chosen = output.reshape(len(output), -1).argmax(axis=1)
        known = (targets["action"] == chosen[:, None]) & (targets["weight"] > 0)
        labelled = known.any(axis=1)
        worst = targets["regret_s"].max(axis=1)
        regret = np.where(labelled, (targets["regret_s"] * known).sum(axis=1), worst)
        return {
            "regret_s": regret.astype(np.float64),
            "best": (labelled & (regret <= 0)).astype(np.float64),
            "labelled": labelled.astype(np.float64),
        }

    def model_inputs(self, batch: Any, config: TaskConfig, target_return: float | None) -> Arrays:
        inputs: Arrays = {name: getattr(batch, name) for name in SHAPES}
        if target_return is not None:
            inputs["return_to_go"] = np.full(len(inputs["exists"]), target_return, np.float32)
        return inputs

    def actions(self, output: NDArray[np.float32], batch: Any, settings: Settings) -> Any:
        chosen = output.reshape(len(output), -1).argmax(axis=1)
        return self.action().batch(decoded(chosen, batch.stage_number, batch.proposed))


def _arrays() -> tuple[ArraySpec, ...]:
    return tuple(
        ArraySpec(name, shape, mask="exists" if name in ("place", "proposed") else "")
        for name, shape in SHAPES.items()
    )
