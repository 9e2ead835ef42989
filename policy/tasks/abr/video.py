"""A video as an adaptive player sees it: a ladder of bitrates, and the size of every chunk at
every level.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policy.errors import PolicyError

Floats = NDArray[np.float64]

MAX_MANIFEST_BYTES = 64 << 20
MAX_CHUNKS = 100_000
MAX_LEVELS = 32
MAX_CHUNK_BITS = 1e12

_FORM = (
    "name, segment_duration_ms, bitrates_kbps [levels], segment_sizes_bits [chunks][levels] and, "
    "if known, quality {metric, values [chunks][levels]}"
)


class _Quality(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    metric: str = Field(max_length=64)
    values: list[list[float]]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    name: str = Field(min_length=1, max_length=200)
    segment_duration_ms: float = Field(gt=0, le=60_000)
    bitrates_kbps: list[float] = Field(min_length=2, max_length=MAX_LEVELS)
    segment_sizes_bits: list[list[float]] = Field(min_length=2, max_length=MAX_CHUNKS)
    quality: _Quality | None = None


@dataclass(frozen=True, eq=False)
class Video:
    """A ladder of at least two levels, lowest first, and at least two chunks.

    `bitrates_kbps` [levels] are nominal rates, `sizes_bytes` [chunks, levels] what is downloaded,
    and `quality` [chunks, levels], where the manifest has one, a picture quality such as VMAF.
    """

    name: str
    chunk_ms: float
    bitrates_kbps: Floats
    sizes_bytes: Floats
    quality: Floats | None = None

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise PolicyError(
                f"video {self.name}: a ladder of {self.levels} level leaves nothing to choose"
            )
        if self.sizes_bytes.ndim != 2 or self.sizes_bytes.shape[1] != self.levels:
            raise PolicyError(
                f"video {self.name}: sizes of shape {self.sizes_bytes.shape} "
                f"for {self.levels} levels"
            )
        if not (np.diff(self.bitrates_kbps) > 0).all() or self.bitrates_kbps[0] <= 0:
            raise PolicyError(
                f"video {self.name}: bitrates_kbps must be positive and rise from level to level"
            )
        if not ((self.sizes_bytes > 0) & (self.sizes_bytes <= MAX_CHUNK_BITS / 8)).all():
            raise PolicyError(
                f"video {self.name}: every size must lie above 0 and at most at 1e12 bits"
            )
        if self.quality is not None and self.quality.shape != self.sizes_bytes.shape:
            raise PolicyError(
                f"video {self.name}: quality has shape {self.quality.shape}, "
                f"sizes {self.sizes_bytes.shape}"
            )

    @property
    def levels(self) -> int:
        return len(self.bitrates_kbps)

    @property
    def chunks(self) -> int:
        return len(self.sizes_bytes)

    def clipped(self, chunks: int) -> Video:
        """The first `chunks` chunks (all of them if the video is shorter)."""
        quality = None if self.quality is None else self.quality[:chunks]
        sizes = self.sizes_bytes[:chunks]
        return Video(self.name, self.chunk_ms, self.bitrates_kbps, sizes, quality)


def read_video(path: Path | str) -> Video:
    """The video of a manifest: JSON with `name`, `segment_duration_ms`, `bitrates_kbps` [levels],
    `segment_sizes_bits` [chunks][levels] and optionally `quality` {`metric`, `values`
    [chunks][levels]}.

    Raises PolicyError, in one line, if the file is no such manifest.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise PolicyError(
                f"{path}: larger than {MAX_MANIFEST_BYTES >> 20} MiB; is it a manifest?"
            )
        text = path.read_bytes()
    except OSError as error:
        raise PolicyError(
            f"{path}: cannot be read: {error.strerror}; is it the right path?"
        ) from None
    return parse_video(text, str(path))


def parse_video(text: str | bytes, source: str) -> Video:
    """The video of a manifest's text; `source` names it in errors. Raises PolicyError."""
    try:
        manifest = _Manifest.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        told = first["msg"]
        if first["type"] == "missing":
            told = "is missing"
        elif first["type"] == "too_short":
            told = f"has length {first['ctx']['actual_length']}; at least "
            told += f"{first['ctx']['min_length']} are needed"
        raise PolicyError(f"{source}: {key}: {told}; a manifest has {_FORM}") from None
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{source}: not JSON: {error}") from None
    levels = len(manifest.bitrates_kbps)
    quality = None
    if manifest.quality is not None:
        quality = _table(source, "quality.values", manifest.quality.values, levels)
        if len(quality) != len(manifest.segment_sizes_bits):
            raise PolicyError(
                f"{source}: quality.values has {len(quality)} segments, "
                f"segment_sizes_bits {len(manifest.segment_sizes_bits)}"
            )
    sizes_bits = _table(source, "segment_sizes_bits", manifest.segment_sizes_bits, levels)
    try:
        return Video(
            manifest.name,
            manifest.segment_duration_ms,
            np.array(manifest.bitrates_kbps),
            sizes_bits / 8,
            quality,
        )
    except PolicyError as error:
        raise PolicyError(f"{source}: {error}") from None


def manifest_text(video: Video) -> str:
    """The manifest that `parse_video` reads as this video."""
    manifest: dict[str, object] = {
        "name": video.name,
        "segment_duration_ms": video.chunk_ms,
        "bitrates_kbps": video.bitrates_kbps.tolist(),
        "segment_sizes_bits": (video.sizes_bytes * 8).tolist(),
    }
    if video.quality is not None:
        manifest["quality"] = {"metric": "quality", "values": video.quality.tolist()}
    return json.dumps(manifest)


def _table(source: str, key: str, rows: list[list[float]], levels: int) -> Floats:
    for index, row in enumerate(rows):
        if len(row) != levels:
            raise PolicyError(
                f"{source}: {key}: segment {index} has {len(row)} values for {levels} levels; "
                "give one for each level"
            )
    return np.array(rows, np.float64)
