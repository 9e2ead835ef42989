"""All inputs of a sample in one row, so that a batch is one array and one copy to the device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policy.tasks.base import InputSpec

_TENSOR_TYPES = {"f": torch.float32, "b": torch.bool, "i": torch.int64, "u": torch.int64}


class Packing:
    """Lays out named inputs of static shape in float32 rows; whole numbers up to 2^24 are exact."""

    def __init__(self, spec: InputSpec) -> None:
        self._parts: list[tuple[str, tuple[int, ...], slice]] = []
        self._types: dict[str, torch.dtype] = {
            array.name: _TENSOR_TYPES[np.dtype(array.dtype).kind] for array in spec
        }
        start = 0
        for name, shape in spec.shapes.items():
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
        """The inputs in rows [n, width], each in its own type; views where that is float32."""
        return {
            name: rows[:, columns].view(len(rows), *shape).to(self._types[name])
            for name, shape, columns in self._parts
        }
