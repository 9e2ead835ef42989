"""A batch and its answer in memory that two processes share, one row per sample."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.tasks.base import ActionSpec, InputSpec


class SharedRows:
    """Rows for `rows` samples of a task, laid out from what it observes and decides. Both sides map
    the same file; who may write, they agree on.
    """

    def __init__(self, memory: int, rows: int, observation: InputSpec, action: ActionSpec) -> None:
        """memory: file descriptor of a memfd, which may be closed afterwards. Raises OSError."""
        self.rows = rows
        self._observation, self._action = observation, action
        row = np.dtype(
            [(array.name, np.dtype(array.dtype), array.shape) for array in (*observation, *action)],
            align=True,
        )
        os.ftruncate(memory, rows * row.itemsize)
        table = np.ndarray(rows, row, mmap.mmap(memory, rows * row.itemsize))
        self._columns = {name: table[name] for name in (*observation.names, *action.names)}

    def write(self, batch: Any, start: int, stop: int) -> None:
        """Put samples start ... stop of a batch into the first rows. Raises ValueError if an array
        has another shape than the policy reads.
        """
        for name, shape in self._observation.shapes.items():
            values = getattr(batch, name)
            if values.shape[1:] != shape:
                raise ValueError(f"{name} of shape {values.shape[1:]}; the policy reads {shape}")
            self._columns[name][: stop - start] = values[start:stop]

    def batch(self, count: int) -> Any:
        """The first rows as a batch, not copied."""
        return self._observation.batch(self._first(self._observation.names, count))

    def answer(self, actions: Any) -> None:
        """Put the actions of the first samples beside them."""
        for name in self._action.names:
            values = getattr(actions, name)
            self._columns[name][: len(values)] = values

    def take(self, into: dict[str, NDArray[Any]], start: int, count: int) -> None:
        """Copy the actions of the first samples to where `start` begins in arrays of more."""
        for name in self._action.names:
            into[name][start : start + count] = self._columns[name][:count]

    def _first(self, names: tuple[str, ...], count: int) -> dict[str, NDArray[Any]]:
        return {name: self._columns[name][:count] for name in names}
