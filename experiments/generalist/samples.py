"""Parts of a task's samples: fewer of them, and some with answers that are not theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from experiments.generalist.resident import Resident, Side
from policy.tasks.base import Split


def few_rows(data: Resident, share: float, seed: int) -> NDArray[np.int64]:
    """A run of consecutive training samples, which come of few sources, as little data does."""
    length = len(data.sides["train"])
    count = max(1, round(share * length))
    first = int(np.random.default_rng(seed).integers(length - count + 1))
    return np.arange(first, first + count)


def fewer_held(data: Resident, count: int) -> Resident:
    """At most `count` samples of each split that is not trained on."""
    sides: dict[Split, Side] = {}
    for name, one in data.sides.items():
        rows = np.sort(np.random.default_rng(5).permutation(len(one))[:count])
        sides[name] = one.only(rows) if name != "train" else one
        units = np.unique(sides[name].units, return_inverse=True)[1]
        sides[name] = replace(sides[name], units=units)
    return Resident(sides, data.constant_loss)


def shuffled(data: Resident, seed: int) -> Resident:
    """Training answers that belong to other samples: what is then still transferred is no
    knowledge of a task.
    """
    whole = data.sides["train"]
    rows = np.arange(len(whole))
    return data.with_train(whole.only(rows, np.random.default_rng(seed).permutation(rows)))
