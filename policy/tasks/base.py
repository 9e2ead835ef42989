"""What a task is to the model, the engine and the trainer. None of those knows more about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.model.config import ModelConfig
from policy.model.inputs import Inputs


class Task(Protocol):
    """A network task: how states become tokens and output vectors become actions."""

    name: str

    def input_shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Shape of each input of one sample, without the batch dimension; all are float32."""
        ...

    def tokens(self, config: ModelConfig) -> int:
        """Length of the token sequence that the encoder makes."""
        ...

    def encoder(self, config: ModelConfig, hidden: int, scale: float) -> nn.Module:
        """A module from `Inputs` to tokens [n, T, hidden] whose root mean square starts near
        `scale`.
        """
        ...

    def head(self, config: ModelConfig, hidden: int) -> nn.Module:
        """A module from the last output vector [n, hidden] to outputs [n, ...]."""
        ...

    def loss(self, output: Tensor, targets: Inputs, overestimation_weight: float) -> Tensor:
        """Mean loss; `overestimation_weight` above 1 punishes asking for too much more than too
        little.
        """
        ...

    def measures(
        self, output: NDArray[np.float32], targets: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float64]]:
        """Per-sample error measures [n] by name; reports average them by family."""
        ...
