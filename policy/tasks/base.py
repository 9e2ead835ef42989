"""What a network task is. Model, trainer, worker and command line know this and no task.

Nothing here needs PyTorch, so that a server can lay out batches without it: tasks import their
encoder and head when they are asked for them.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from policy.errors import PolicyError
from policy.tasks.specs import ActionSpec, ArraySpec, InputSpec, Row

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "ActionSpec",
    "ArraySpec",
    "Arrays",
    "Dataset",
    "Environment",
    "InputSpec",
    "LearnedTask",
    "Measure",
    "Objective",
    "Row",
    "Samples",
    "Settings",
    "Split",
    "Task",
    "TaskConfig",
]

Arrays = dict[str, NDArray[Any]]
"""Arrays by name, each with the batch as its first dimension."""
Objective = Literal["near-optimal", "decision-transformer"]
Split = Literal["train", "validation", "test"]


class Settings(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskConfig(Settings):
    """The part of a model's settings that its task reads."""

    task: str
    objective: Objective = "near-optimal"
    history: int = Field(gt=0, le=1024, description="steps of the past that the model sees")
    encoder: SerializeAsAny[Settings] = Field(description="as the task's `encoder_settings`")


class Environment(Protocol):
    """Worlds of one task in lockstep; a seed and the decisions determine what happens."""

    @property
    def done(self) -> bool:
        """Whether no more decisions are wanted."""
        ...

    def observe(self) -> Any:
        """A batch of the task's observation, a sample for each decision that is wanted now."""
        ...

    def step(self, actions: Any) -> NDArray[np.float64]:
        """Carry out the actions for that batch; the reward of each."""
        ...


class Samples(Protocol):
    """Training samples of one split, gathered in batches."""

    families: NDArray[np.str_]
    """[N], the group that each sample's errors are reported under."""

    baselines: dict[str, NDArray[np.float32]]
    """Outputs [N, ...] of rule policies on the same samples, NaN where one has none."""

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        """(inputs, targets), each array with len(indices) as its first dimension."""
        ...

    def target_return(self) -> float:
        """The return that a decision transformer is asked for at run time."""
        ...


class Dataset(Protocol):
    """A task's recorded experience, split by source so that no split knows another's."""

    @property
    def about(self) -> dict[str, Any]:
        """For the model card: `rows`, `traces` (sources) and `families` at least."""
        ...

    def samples(self, split: Split, config: TaskConfig) -> Samples:
        """One split as a model of this configuration reads it. Raises PolicyError if empty."""
        ...


@dataclass(frozen=True)
class Measure:
    """How a measure of `LearnedTask.measures` is shown: value * scale, in `unit`."""

    name: str
    label: str
    unit: str = ""
    scale: float = 1.0

    def text(self, value: float) -> str:
        return f"{self.scale * value:.1f} {self.unit}".rstrip()


class Task(ABC):
    """A network task by name.

    commands: verb ("collect", "train") -> "module:attribute" of a click command that replaces the
    general one for this task.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    commands: ClassVar[Mapping[str, str]] = {}

    def command(self, verb: str) -> Any | None:
        """The task's own click command for `tbtest VERB --task NAME`, if it has one."""
        if verb not in self.commands:
            return None
        module, _, attribute = self.commands[verb].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def card(self, file: Path) -> str:
        """What a checkpoint of one file says of itself, as Markdown. Raises PolicyError."""
        raise PolicyError(f"{file}: task {self.name} has no checkpoints of one file")

    def export(self, file: Path) -> Path:
        """Writes the portable file beside a checkpoint of one file. Raises PolicyError."""
        raise PolicyError(f"{file}: task {self.name} has no checkpoints of one file")

    def environment(self, **options: Any) -> Environment:
        """A simulated world to decide in. Raises PolicyError where the task has none."""
        raise PolicyError(f"task {self.name} has no environment of this form")


class LearnedTask(Task):
    """A task that a model decides: what it observes, how that becomes tokens, what is learned.

    fields: what the columns of the observation mean, in order; a checkpoint that was trained on
    other fields is refused.
    history: how many steps of the past a model sees unless its settings say otherwise.
    traits: attributes that a policy of this task may have, with their defaults; model_traits: as
    models of this task have them.
    shown: the measures in model cards; the first one stands for a model in lists. about_measures:
    a sentence on them.
    """

    fields: ClassVar[tuple[str, ...]]
    history: ClassVar[int] = 1
    encoder_settings: ClassVar[type[Settings]] = Settings
    loss_settings: ClassVar[type[Settings]] = Settings
    serving_settings: ClassVar[type[Settings]] = Settings
    traits: ClassVar[Mapping[str, Any]] = {}
    model_traits: ClassVar[Mapping[str, Any]] = {}
    shown: ClassVar[tuple[Measure, ...]]
    about_measures: ClassVar[str] = ""

    def check(self, config: TaskConfig) -> None:
        """Raises ValueError where settings do not fit each other."""

    # What a policy sees and gives.

    @abstractmethod
    def observation(self, history: int) -> InputSpec:
        """What a policy that reads `history` steps is handed, in physical units."""

    @abstractmethod
    def action(self) -> ActionSpec:
        """What a policy decides, in physical units."""

    # The model.

    @abstractmethod
    def inputs(self, config: TaskConfig) -> InputSpec:
        """What the encoder reads; values must be exact in float32."""

    @abstractmethod
    def tokens(self, config: TaskConfig) -> int:
        """Length of the token sequence that the encoder makes."""

    def positions(self, config: TaskConfig) -> int:
        """How many positions the head reads: the last so many of the sequence."""
        return 1

    @abstractmethod
    def encoder(self, config: TaskConfig, hidden: int, scale: float) -> nn.Module:
        """A module from inputs to tokens [n, tokens, hidden] whose root mean square starts near
        `scale`.
        """

    @abstractmethod
    def head(self, config: TaskConfig, hidden: int) -> nn.Module:
        """A module from (vectors [n, positions, hidden], inputs) to one output tensor [n, ...].

        Outputs that do not exist (a candidate or level beyond a sample's own) are -inf.
        """

    # Training.

    @abstractmethod
    def dataset(self, folder: Path) -> Dataset:
        """Open recorded experience. Raises PolicyError that names file and mistake."""

    @abstractmethod
    def loss(self, output: Tensor, targets: Mapping[str, Tensor], settings: Settings) -> Tensor:
        """Mean loss of a batch; `settings` is of type `loss_settings`."""

    @abstractmethod
    def about_loss(self, settings: Settings) -> str:
        """The loss in a sentence, for the model card."""

    def constant_loss(self, targets: Mapping[str, NDArray[Any]], settings: Settings) -> float:
        """Loss of the best output that is the same for all samples, over these targets.

        Trainings on several tasks divide by it. Raises PolicyError where a task does not say it.
        """
        raise PolicyError(
            f"task {self.name} has no constant_loss, which a training on several tasks needs"
        )

    @abstractmethod
    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[np.float64]]:
        """Error measures [n] by name; reports average them by family."""

    # Serving.

    @abstractmethod
    def model_inputs(self, batch: Any, config: TaskConfig, target_return: float | None) -> Arrays:
        """The encoder's inputs for a batch of observations.

        target_return: what a decision transformer is asked for; None for the other objective.
        """

    @abstractmethod
    def actions(self, output: NDArray[np.float32], batch: Any, settings: Settings) -> Any:
        """Actions from the head's output; `settings` is of type `serving_settings`."""
