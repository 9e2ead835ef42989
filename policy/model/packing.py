"""All inputs of a sample in one row, so that a batch is one array and one copy to the device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Packing:
    """Lays out named inputs of static shape in float32 rows."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._parts: list[tuple[str, tuple[int, ...], slice]] = []
        start = 0
        for name, shape in shapes.items():
            size = math.prod(shape)
            self._parts.append((name, shape, slice(start, start + size)))
            start += size
        self.width = start

    def fill(
        self,
        rows: NDArray[np.float32],
        inputs: Mapping[str, NDArray[np.floating]],
        start: int,
        count: int,
    ) -> None:
        """Write samples start … start + count of `inputs` into the first rows."""
        for name, shape, columns in self._parts:
            part = inputs[name][start : start + count]
            if part.shape != (count, *shape):
                raise ValueError(f"input {name!r} has shape {part.shape[1:]}, expected {shape}")
            rows[:count, columns] = part.reshape(count, -1)

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Views of the inputs in rows [n, width]."""
        return {
            name: rows[:, columns].view(len(rows), *shape) for name, shape, columns in self._parts
        }
