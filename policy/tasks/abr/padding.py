"""Ladders of any length in arrays of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.tasks.abr.layout import LEVELS, UNPLANNED
from policy.tasks.base import Arrays


def padded(shared: NDArray[Any], by_level: NDArray[Any]) -> Arrays:
    """A batch of one ladder as the task's observation. Raises PolicyError for a longer ladder than
    is read.
    """
    n, levels, _ = by_level.shape
    if levels > LEVELS:
        raise PolicyError(f"a ladder of {levels} levels; a model of several tasks reads {LEVELS}")
    rows = np.zeros((n, LEVELS, UNPLANNED), np.float32)
    rows[:, :levels] = by_level[..., :UNPLANNED]
    exists = np.zeros((n, LEVELS), np.float32)
    exists[:, :levels] = 1
    return {"shared": shared.astype(np.float32), "by_level": rows, "exists": exists}
