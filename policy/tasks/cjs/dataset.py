"""Labelled states on disk: a compressed NumPy archive for each side of the split."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError
from policy.tasks.base import Arrays, Split, TaskConfig
from policy.tasks.cjs.actions import ACTIONS
from policy.tasks.cjs.inputs import SHAPES, STAGES, EncoderConfig

_LABELS = {"action": (ACTIONS,), "weight": (ACTIONS,), "regret_s": (ACTIONS,)}
_TAKEN: dict[str, tuple[int, ...]] = {"taken": (), "return_to_go": ()}
_EXPECTED: dict[str, tuple[int, ...]] = SHAPES | _LABELS | _TAKEN | {"sequence": ()}
_ASKED_QUANTILE = 0.9
_MAX_SAMPLES = 10_000_000


def save(folder: Path, split: Split, samples: Arrays) -> None:
    """Write one side."""
    folder.mkdir(parents=True, exist_ok=True)
    # Most bytes are zeros: the lightest compression is several times faster than NumPy's.
    with zipfile.ZipFile(folder / f"{split}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as to:
        for name, array in samples.items():
            with to.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read(folder: Path, split: Split) -> Arrays:
    """Read one side. Raises PolicyError naming file and array."""
    path = folder / f"{split}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        reason = error.strerror or "not a NumPy archive"
        raise PolicyError(f"{path}: cannot be read: {reason}") from None
    except (ValueError, zipfile.BadZipFile):
        raise PolicyError(f"{path}: not a NumPy archive of labels; collect them again") from None
    for name, shape in _EXPECTED.items():
        if name not in arrays or arrays[name].shape[1:] != shape:
            raise PolicyError(f"{path}: no array {name} of shape {shape}; collect the labels again")
    counts = {len(arrays[name]) for name in _EXPECTED}
    if len(counts) != 1 or not 0 < max(counts) <= _MAX_SAMPLES:
        raise PolicyError(f"{path}: arrays of {sorted(counts)} samples; collect the labels again")
    return arrays


def _packed(arrays: Arrays) -> Arrays:
    """With bits for the adjacency, half of all bytes."""
    return arrays | {"adjacency": np.packbits(arrays["adjacency"] > 0, axis=-1)}


class CjsDataset:
    """Folders that `tbtest collect --task cjs` wrote, as one."""

    def __init__(self, *folders: Path) -> None:
        self._sides: dict[Split, Arrays] = {}
        for side in get_args(Split):
            parts = [_packed(read(folder, side)) for folder in folders]
            self._sides[side] = {
                name: np.concatenate([part[name] for part in parts])
                if len(parts) > 1
                else parts[0][name]
                for name in _EXPECTED
            }

    @property
    def about(self) -> dict[str, Any]:
        sides = self._sides.values()
        return {
            "rows": sum(len(side["action"]) for side in sides),
            "traces": sum(len(np.unique(side["sequence"])) for side in sides),
            "families": ["teacher"],
        }

    def samples(self, split: Split, config: TaskConfig) -> CjsSamples:
        """Where a model may only do what is proposed, states with one proposal teach nothing.
        Raises PolicyError if none is left.
        """
        arrays = self._sides[split]
        settings = config.encoder
        rows: NDArray[np.int64] = np.arange(len(arrays["action"]))
        if isinstance(settings, EncoderConfig) and settings.actions == "proposed":
            rows = np.flatnonzero((arrays["weight"] > 0).sum(axis=1) > 1)
        if not len(rows):
            raise PolicyError(f"{split}: no decision has two actions; collect more labels")
        conditioned = config.objective == "decision-transformer"
        if conditioned:
            rows = rows[arrays["taken"][rows] >= 0]
        return CjsSamples(arrays, rows, conditioned)


class CjsSamples:
    """One sample for each decision; with `conditioned` what was taken, and what came of it, instead
    of the teacher's costs.
    """

    def __init__(self, arrays: Arrays, rows: NDArray[np.int64], conditioned: bool) -> None:
        self._arrays, self._rows, self._conditioned = arrays, rows, conditioned
        self.families: NDArray[np.str_] = np.full(len(self), "teacher")
        self.baselines: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        rows = self._rows[indices]
        inputs = {name: self._arrays[name][rows] for name in SHAPES}
        inputs["adjacency"] = np.unpackbits(inputs["adjacency"], axis=-1, count=STAGES)
        if self._conditioned:
            inputs["return_to_go"] = self._arrays["return_to_go"][rows]
            taken = self._arrays["taken"][rows, None].astype(np.int64)
            ones = np.ones(taken.shape, np.float32)
            return inputs, {"action": taken, "weight": ones, "regret_s": np.zeros_like(ones)}
        return inputs, {
            "action": self._arrays["action"][rows].astype(np.int64),
            "weight": self._arrays["weight"][rows],
            "regret_s": self._arrays["regret_s"][rows],
        }

    def target_return(self) -> float:
        """A good one: one in ten of these decisions was followed by a better."""
        return float(np.quantile(self._arrays["return_to_go"][self._rows], _ASKED_QUANTILE))
