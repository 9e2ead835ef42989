"""Labelled sessions as training samples: FOLDER/train, FOLDER/validation and FOLDER/test, each with
`sessions-*.npz` of the arrays shared, by_level and values, one entry for each state.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.tasks.abr.layout import LEVELS, SHARED, UNPLANNED
from policy.tasks.abr.padding import padded
from policy.tasks.base import Arrays, Split, TaskConfig

WORST_REGRET = 10.0
"""Of a level beyond the best one, in seconds of stall: what is worse counts as much."""
PATTERN = "sessions-*.npz"


class LabelledSessions:
    """A folder as above; recordings of one side must be none of another's."""

    def __init__(self, folder: Path) -> None:
        self._sides: dict[Split, Arrays] = {side: _read(folder / side) for side in get_args(Split)}

    @property
    def about(self) -> dict[str, Any]:
        return {
            "rows": sum(len(side["exists"]) for side in self._sides.values()),
            "traces": sum(len(np.unique(side["batch"])) for side in self._sides.values()),
            "families": sorted({f"{n} levels" for side in self._sides.values() for n in _n(side)}),
        }

    def samples(self, split: Split, config: TaskConfig) -> LabelledStates:
        return LabelledStates(self._sides[split])


class LabelledStates:
    """One sample for each state."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.families: NDArray[np.str_] = np.array(
            [f"{n} levels" for n in arrays["exists"].sum(axis=1).astype(int)]
        )
        self.baselines: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._arrays["exists"])

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        taken = {name: value[indices] for name, value in self._arrays.items()}
        inputs = {name: taken[name] for name in ("shared", "by_level", "exists")}
        return inputs, {"regret_s": taken["regret_s"], "exists": taken["exists"]}

    def target_return(self) -> float:
        """No model of several tasks is asked for a return. Raises PolicyError."""
        raise PolicyError("abr: no decision transformer among the models of several tasks")


def _read(folder: Path) -> Arrays:
    files = sorted(folder.glob(PATTERN))
    if not files:
        raise PolicyError(f"{folder}: holds no {PATTERN}; collect labelled sessions")
    parts = [_read_batch(file) for file in files]
    for number, part in enumerate(parts):
        part["batch"] = np.full(len(part["exists"]), number)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read_batch(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("shared", "by_level", "values")}
        # What plans promise is not read here; archives of before plans were seen lack it.
        arrays["by_level"] = arrays["by_level"][..., :UNPLANNED]
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile):
        raise PolicyError(f"{path}: not an archive of labelled sessions; collect again") from None
    values = arrays["values"]
    n, levels = values.shape if values.ndim == 2 else (0, 0)
    shapes = {"shared": (n, SHARED), "by_level": (n, levels, UNPLANNED), "values": (n, levels)}
    for name, shape in shapes.items():
        if not n or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise PolicyError(f"{path}: no array {name} of shape {shape}, of numbers")
    observed = padded(arrays["shared"], arrays["by_level"])
    regret = np.zeros((n, LEVELS), np.float32)
    regret[:, :levels] = (values.max(axis=1, keepdims=True) - values).clip(max=WORST_REGRET)
    return observed | {"regret_s": regret}


def _n(side: Arrays) -> list[int]:
    return [int(n) for n in np.unique(side["exists"].sum(axis=1))]
