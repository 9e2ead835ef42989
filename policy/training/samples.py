"""What the trainer iterates over."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]


class Samples(Protocol):
    """A task's samples of one split, gathered in batches."""

    families: NDArray[np.str_]
    """[N], the group that each sample's errors are reported under."""

    baselines: dict[str, NDArray[np.float32]]
    """Outputs [N, …] of rule policies on the same samples, NaN where one has none."""

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        """(inputs, targets), each array with len(indices) as its first dimension."""
        ...
