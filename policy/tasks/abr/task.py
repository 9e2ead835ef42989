"""Adaptive bitrate streaming as a task: a player's session in, a level out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from policy.tasks.abr.layout import LEVELS, SHARED, UNPLANNED
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

if TYPE_CHECKING:
    from torch import Tensor, nn


class EncoderConfig(Settings):
    """The network that reads each level beside its neighbours."""

    width: int = Field(default=128, gt=0, le=1024)


class LossConfig(Settings):
    """The loss of training."""

    entropy: float = Field(
        default=0.02, ge=0, le=1, description="what a nat of the answer's entropy is worth, in s"
    )


class AbrTask(LearnedTask):
    """README.md of this folder describes observation, action and reward.

    What is observed has no units: ratios to the session's own estimates (`observation.py`). A model
    of several tasks decides by a score for each level; `tbtest train --task abr` trains networks of
    this task's own, in rounds.
    """

    name = "abr"
    about = "adaptive bitrate streaming: the level of a player's next chunk"
    commands: ClassVar[Mapping[str, str]] = {
        "collect": "policy.tasks.abr.commands:collect",
        "train": "policy.tasks.abr.commands:train",
    }
    fields = (f"{SHARED} shared", f"{UNPLANNED} per level", f"{LEVELS} levels")
    encoder_settings = EncoderConfig
    loss_settings = LossConfig
    shown = (
        Measure("regret_s", "regret", "ms of stall", 1000.0),
        Measure("best", "best level", "%", 100.0),
    )
    about_measures = (
        "Regret: what the level costs over the rest of the session above the best one, in "
        "milliseconds of stall."
    )

    def check(self, config: TaskConfig) -> None:
        if config.objective != "near-optimal":
            raise ValueError(f"objective {config.objective!r}: abr learns near-optimal labels only")
        if config.history != 1:
            raise ValueError(f"history is {config.history}: an observation holds it, give 1")

    def observation(self, history: int) -> InputSpec:
        return InputSpec(
            (
                ArraySpec("shared", (SHARED,), about="what all levels share"),
                ArraySpec("by_level", (LEVELS, UNPLANNED), about="lowest first", mask="exists"),
                ArraySpec("exists", (LEVELS,), about="which levels the ladder has: 1"),
            )
        )

    def action(self) -> ActionSpec:
        return ActionSpec((ArraySpec("level", (), "int64"),))

    def inputs(self, config: TaskConfig) -> InputSpec:
        return self.observation(1)

    def tokens(self, config: TaskConfig) -> int:
        return 1 + LEVELS

    def positions(self, config: TaskConfig) -> int:
        return LEVELS

    def encoder(self, config: TaskConfig, hidden: int, scale: float) -> nn.Module:
        from policy.tasks.abr.tokens import LadderEncoder

        assert isinstance(config.encoder, EncoderConfig)
        return LadderEncoder(config.encoder.width, hidden, scale)

    def head(self, config: TaskConfig, hidden: int) -> nn.Module:
        from policy.tasks.abr.tokens import LadderHead

        return LadderHead(hidden)

    def dataset(self, folder: Path) -> Dataset:
        from policy.tasks.abr.labelled import LabelledSessions

        return LabelledSessions(folder)

    def loss(self, output: Tensor, targets: Mapping[str, Tensor], settings: Settings) -> Tensor:
        """The regret that is expected under the softmax of the scores, less a little of its
        entropy.
        """
        assert isinstance(settings, LossConfig)
        log_p = output.log_softmax(dim=1).clamp(min=-30.0)
        p = log_p.exp() * targets["exists"]
        entropy = -(p * log_p).sum(dim=1)
        return ((p * targets["regret_s"]).sum(dim=1) - settings.entropy * entropy).mean()

    def constant_loss(self, targets: Mapping[str, NDArray[Any]], settings: Settings) -> float:
        """The mean regret of the best level that every ladder has."""
        common = targets["exists"].min(axis=0) > 0
        return float(targets["regret_s"].mean(axis=0)[common].min())

    def about_loss(self, settings: Settings) -> str:
        assert isinstance(settings, LossConfig)
        return f"expected regret in seconds of stall, less {settings.entropy:g} of the entropy"

    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[np.float64]]:
        level = output.argmax(axis=1)
        regret = np.take_along_axis(targets["regret_s"], level[:, None], axis=1)[:, 0]
        return {
            "regret_s": regret.astype(np.float64),
            "best": (regret <= 0).astype(np.float64),
        }

    def model_inputs(self, batch: Any, config: TaskConfig, target_return: float | None) -> Arrays:
        return {name: getattr(batch, name) for name in self.observation(1).names}

    def actions(self, output: NDArray[np.float32], batch: Any, settings: Settings) -> Any:
        return self.action().batch({"level": output.argmax(axis=1)})

    def card(self, file: Path) -> str:
        from policy.tasks.abr.card import card

        return card(file)

    def export(self, file: Path) -> Path:
        from policy.tasks.abr.export import export

        return export(file)
