"""Which samples a step learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Batches:
    """Indices of each step's samples for this process: shuffled epochs, a function of (seed, step)
    alone.
    """

    def __init__(
        self, size: int, count: int, seed: int | list[int], rank: int = 0, world: int = 1
    ) -> None:
        """size: samples per step over all `world` processes; count: samples there are."""
        self._size = min(size, count)
        self._per_epoch = count // self._size
        self._count = count
        self._seed = seed if isinstance(seed, list) else [seed]
        self._rank, self._world = rank, world
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def at(self, step: int) -> NDArray[np.int64]:
        """The samples of a step, which count from 1."""
        epoch, position = divmod(step - 1, self._per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([*self._seed, epoch]).permutation(self._count)
            self._epoch = epoch
        batch = self._order[position * self._size : (position + 1) * self._size]
        return batch[self._rank :: self._world]
