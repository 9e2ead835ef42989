"""Labelled sessions on disk, so that several networks learn from the same ones.

    about.json       format, where the sessions came from, and how their levels were valued
    traces.npz       all recordings, and which of them validate
    videos/*.json    manifests of the given videos
    sessions-N.npz   one batch: an entry for each state that was visited

A state holds what a network observes, the value of every level, the level that was taken and the
mean reward from there on (`rounds.Batch`). No archive holds Python objects.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, Traces, pack
from policy.tasks.abr.observation import PER_LEVEL, SHARED
from policy.tasks.abr.tensors import TensorTraces
from policy.tasks.abr.training.material import Material
from policy.tasks.abr.training.rounds import Batch
from policy.tasks.abr.video import MAX_LEVELS, Video, read_video
from settings import first_mistake

FORMAT = 1
MAX_STATES = 100_000_000
_MAX_ABOUT_BYTES = 1 << 20


class About(BaseModel):
    """about.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    shared: int
    per_level: int
    drawn: int = Field(ge=0, le=1000)
    notes: dict[str, str]


@dataclass(frozen=True, eq=False)
class Dataset:
    """What was read: the labels, what validates, and the recordings that were played."""

    batches: list[Batch]
    material: Material
    training: list[Bandwidth]
    notes: dict[str, str]

    @property
    def states(self) -> int:
        return sum(len(batch.taken) for batch in self.batches)


def save(folder: Path, batches: Sequence[Batch], material: Material, notes: dict[str, str]) -> None:
    """Writes a new folder whole. Raises PolicyError if there is one of this name."""
    if folder.exists():
        raise PolicyError(f"{folder}: is there already; name another folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        part.chmod(0o755)
        about = About(
            format=FORMAT, shared=SHARED, per_level=PER_LEVEL, drawn=material.drawn, notes=notes
        )
        (part / "about.json").write_text(about.model_dump_json(indent=1) + "\n")
        _save_traces(part / "traces.npz", material)
        (part / "videos").mkdir()
        for number, video in enumerate(material.videos):
            (part / "videos" / f"{number}.json").write_text(json.dumps(_manifest(video)))
        for number, batch in enumerate(batches):
            arrays = {one.name: getattr(batch, one.name).cpu().numpy() for one in fields(batch)}
            np.savez_compressed(part / f"sessions-{number:03d}.npz", **arrays)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read(folder: Path, device: str = "cpu") -> Dataset:
    """Reads a folder that `save` wrote. Raises PolicyError that names file and mistake."""
    about = _about(folder / "about.json")
    training, held = _read_traces(folder / "traces.npz")
    if not training or not held:
        raise PolicyError(f"{folder / 'traces.npz'}: no recording is kept for validation")
    material = Material(
        TensorTraces(pack(training), device),
        TensorTraces(pack(held), device),
        tuple(read_video(path) for path in sorted((folder / "videos").glob("*.json"))),
        about.drawn,
    )
    files = sorted(folder.glob("sessions-*.npz"))
    if not files:
        raise PolicyError(f"{folder}: holds no sessions; collect them: tbtest collect --task abr")
    batches = [_read_batch(file, device) for file in files]
    return Dataset(batches, material, training, about.notes)


def _about(path: Path) -> About:
    try:
        if path.stat().st_size > _MAX_ABOUT_BYTES:
            raise PolicyError(f"{path}: is too large for what it should hold")
        about = About.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PolicyError(
            f"{path}: cannot be read: {error.strerror}; name a folder of tbtest collect --task abr"
        ) from None
    except ValidationError as error:
        raise PolicyError(f"{path}: {first_mistake(error, About)}") from None
    if (about.format, about.shared, about.per_level) != (FORMAT, SHARED, PER_LEVEL):
        raise PolicyError(f"{path}: collected by another version; collect the sessions again")
    return about


def _manifest(video: Video) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "name": video.name,
        "segment_duration_ms": video.chunk_ms,
        "bitrates_kbps": video.bitrates_kbps.tolist(),
        "segment_sizes_bits": (video.sizes_bytes * 8).tolist(),
    }
    if video.quality is not None:
        manifest["quality"] = {"metric": "quality", "values": video.quality.tolist()}
    return manifest


def _save_traces(path: Path, material: Material) -> None:
    sides = (material.training.traces, material.validation.traces)
    joined = pack([one for side in sides for one in _bandwidths(side)])
    np.savez_compressed(
        path,
        names=np.array(joined.names),
        recordings=np.array(joined.recordings),
        times_s=joined.times_s,
        rates_mbps=joined.rates_mbps,
        offsets=joined.offsets,
        validates=np.arange(len(joined)) >= len(sides[0]),
    )


def _bandwidths(traces: Traces) -> list[Bandwidth]:
    rows = [slice(*ends) for ends in zip(traces.offsets[:-1], traces.offsets[1:], strict=True)]
    return [
        Bandwidth(name, traces.times_s[row], traces.rates_mbps[row], recording)
        for name, recording, row in zip(traces.names, traces.recordings, rows, strict=True)
    ]


def _read_traces(path: Path) -> tuple[list[Bandwidth], list[Bandwidth]]:
    arrays = _archive(path)
    try:
        traces = Traces(
            tuple(map(str, arrays["names"])),
            tuple(map(str, arrays["recordings"])),
            arrays["times_s"].astype(np.float64),
            arrays["rates_mbps"].astype(np.float64),
            arrays["offsets"].astype(np.int64),
        )
        found = _bandwidths(traces)
        validates = arrays["validates"].astype(bool).tolist()
        kept = [one for one, held in zip(found, validates, strict=True) if not held]
        return kept, [one for one, held in zip(found, validates, strict=True) if held]
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise PolicyError(f"{path}: does not hold recordings: {error}") from None


def _read_batch(path: Path, device: str) -> Batch:
    arrays = _archive(path)
    n, levels = (
        arrays["values"].shape if "values" in arrays and arrays["values"].ndim == 2 else (0, 0)
    )
    shapes = {
        "shared": (n, SHARED),
        "by_level": (n, levels, PER_LEVEL),
        "values": (n, levels),
        "taken": (n,),
        "returns": (n,),
    }
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise PolicyError(f"{path}: no array {name} of shape {shape}, of numbers")
    taken = arrays["taken"].astype(np.int64)
    if not (0 < n <= MAX_STATES and 2 <= levels <= MAX_LEVELS):
        raise PolicyError(f"{path}: {n} states of {levels} levels")
    if taken.min() < 0 or taken.max() >= levels:
        raise PolicyError(f"{path}: taken: levels must lie from 0 to {levels - 1}")

    def tensor(name: str) -> torch.Tensor:
        return torch.as_tensor(arrays[name].astype(np.float32), device=device)

    return Batch(
        tensor("shared"),
        tensor("by_level"),
        tensor("values"),
        torch.as_tensor(taken, device=device),
        tensor("returns"),
    )


def _archive(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        reason = error.strerror or "not a NumPy archive"
        raise PolicyError(f"{path}: cannot be read: {reason}") from None
    except (ValueError, zipfile.BadZipFile):
        raise PolicyError(f"{path}: not a NumPy archive; collect the sessions again") from None
