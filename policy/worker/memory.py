"""A batch and its answer in memory that two processes share, one row per flow."""

from __future__ import annotations

import mmap
import os

import numpy as np

from policy.api import Actions, FlowBatch
from policy.tasks.congestion.fields import FIELDS

_BATCH = ("flow", "windows", "valid", "bandwidth_bps", "min_rtt_ns", "mss_bytes")  # of a FlowBatch
_ACTIONS = ("pacing_rate_bps", "cwnd_packets")


class SharedRows:
    """Rows for `rows` flows with `history` windows each. Both sides map the same file; who may
    write, they agree on.
    """

    def __init__(self, memory: int, rows: int, history: int) -> None:
        """memory: file descriptor of a memfd, which may be closed afterwards. Raises OSError."""
        self.rows, self.history = rows, history
        row = np.dtype(
            [
                ("flow", np.int64),
                ("windows", np.float64, (history, len(FIELDS))),
                ("valid", np.bool_, (history,)),
                *((name, np.float64) for name in (*_BATCH[3:], *_ACTIONS)),
            ],
            align=True,
        )
        os.ftruncate(memory, rows * row.itemsize)
        table = np.ndarray(rows, row, mmap.mmap(memory, rows * row.itemsize))
        self._columns = {name: table[name] for name in (*_BATCH, *_ACTIONS)}

    def write(self, batch: FlowBatch, start: int, stop: int) -> None:
        """Put flows start … stop of a batch into the first rows. Raises ValueError if it has
        another history.
        """
        if batch.windows.shape[1] != self.history:
            raise ValueError(
                f"{batch.windows.shape[1]} windows per flow; the model reads {self.history}"
            )
        for name in _BATCH:
            self._columns[name][: stop - start] = getattr(batch, name)[start:stop]

    def batch(self, count: int) -> FlowBatch:
        """The first rows as a batch, not copied."""
        return FlowBatch(*(self._columns[name][:count] for name in _BATCH))

    def answer(self, actions: Actions) -> None:
        """Put the actions of the first flows beside them."""
        for name in _ACTIONS:
            values = getattr(actions, name)
            self._columns[name][: len(values)] = values

    def actions(self, count: int) -> Actions:
        """The actions of the first flows, not copied."""
        return Actions(*(self._columns[name][:count] for name in _ACTIONS))
