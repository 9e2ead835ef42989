"""Bandwidth for streaming sessions, packed so that compiled code can walk over many traces.

A sample is the rate from the time of the sample before to its own time; the first line of a file
only gives the time at which the first interval starts. At its end a trace goes on with sample 1 at
time
0.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_TRACE_BYTES = 64 << 20
MIN_TRACE_S = 10.0
_STEP_NS = 100_000_000


@dataclass(frozen=True, eq=False)
class Bandwidth:
    """One trace: `rates_mbps[i]` holds from `times_s[i - 1]` to `times_s[i]`; both [samples].

    `recording` names what was recorded in one go: traces cut from the same recording share it, and
    intervals are drawn over recordings. Raises PolicyError.
    """

    name: str
    times_s: Floats
    rates_mbps: Floats
    recording: str = ""

    def __post_init__(self) -> None:
        times, rates = self.times_s, self.rates_mbps
        if len(times) != len(rates) or len(times) < 2:
            raise PolicyError(f"trace {self.name}: {len(times)} samples; at least two are needed")
        if not (np.isfinite(times).all() and np.isfinite(rates).all() and times[0] >= 0):
            raise PolicyError(
                f"trace {self.name}: a time or a rate is not a number, or lies before 0"
            )
        if (np.diff(times) < 0).any():
            line = int(np.argmax(np.diff(times) < 0)) + 2
            raise PolicyError(
                f"trace {self.name}: the time of line {line} lies before that of the line before"
            )
        if (rates < 0).any() or rates.max() > 1e6:
            raise PolicyError(f"trace {self.name}: rates must lie from 0 to 1e6 Mbit/s")
        if times[-1] - times[0] < MIN_TRACE_S:
            raise PolicyError(
                f"trace {self.name}: {times[-1] - times[0]:g} s long; "
                f"at least {MIN_TRACE_S:g} s are needed"
            )
        if (rates[1:] * np.diff(times)).sum() <= 0:
            raise PolicyError(
                f"trace {self.name}: its rate is zero throughout, no chunk would ever arrive"
            )
        if not self.recording:
            object.__setattr__(self, "recording", recording_of(self.name))

    def mean_mbps(self) -> float:
        """Mean over time."""
        steps = np.diff(self.times_s)
        return float((self.rates_mbps[1:] * steps).sum() / steps.sum())


def recording_of(name: str) -> str:
    """The recording that a trace was cut from, where its name tells: slices are numbered at the
    end.

    `test_fcc_trace_10652_http---www.amazon.com_120` is a slice of recording
    `test_fcc_trace_10652_http---www.amazon.com`, `trace+ID=_2` one of viewer `trace+ID=`. Names
    whose number is all they have (`trace_17.txt`, `norway_bus_3`) are recordings of their own.
    """
    for pattern in (r"(test_fcc_trace_\d+_.*)_\d+", r"(trace.*=)_\d+"):
        match = re.fullmatch(pattern, name)
        if match:
            return match[1]
    return name


def read_bandwidth(path: Path | str) -> Bandwidth:
    """The trace in a file, gzipped or not: `seconds Mbit/s` text is taken as it stands, every other
    format that `tbtest traces` reads in steps of 100 ms. Raises PolicyError.
    """
    path = Path(path)
    text = _text(path)
    name = path.name.removesuffix(".gz")
    numbers = _two_columns(text)
    try:
        if numbers is not None:
            return Bandwidth(name, numbers[:, 0].copy(), numbers[:, 1].copy())
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None
    # The other formats need libraries that a machine which only trains may lack.
    from traces.errors import TraceError
    from traces.library import read_trace_file
    from traces.statistics import rates_bps

    try:
        trace = read_trace_file(path).trace
        rates = np.asarray(rates_bps(trace, _STEP_NS) / 1e6, np.float64)
        times = np.arange(len(rates) + 1, dtype=np.float64) * (_STEP_NS / 1e9)
        return Bandwidth(name, times, np.concatenate([rates[:1], rates]))
    except TraceError as error:
        raise PolicyError(str(error)) from None
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TRACE_BYTES + 1)
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as unpacked:
                raw = unpacked.read(MAX_TRACE_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise PolicyError(f"{path}: damaged gzip data") from None
    except OSError as error:
        raise PolicyError(
            f"{path}: cannot be read: {error.strerror}; is it the right path?"
        ) from None
    if len(raw) > MAX_TRACE_BYTES:
        raise PolicyError(f"{path}: more than {MAX_TRACE_BYTES >> 20} MiB; clip it first")
    return raw.decode("utf-8", errors="replace")


def _two_columns(text: str) -> Floats | None:
    """Lines of two numbers as [lines, 2], or None if it is anything else."""
    fields = [line.split() for line in text.splitlines()]
    rows = [row for row in fields if row]
    if not rows or any(len(row) != 2 for row in rows):
        return None
    try:
        return np.array(rows, np.float64)
    except ValueError:
        return None


def find_bandwidths(*patterns: str) -> list[Bandwidth]:
    """Traces of folders, files or glob patterns, sorted by name within each. Raises PolicyError."""
    found: list[Bandwidth] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file())
        elif path.is_file():
            files = [path]
        else:
            files = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
            files = [file for file in files if file.is_file()]
        if not files:
            raise PolicyError(
                f"{pattern}: no trace there; give a folder, a file or a pattern in quotes"
            )
        found += [read_bandwidth(file) for file in files]
    return found


@dataclass(frozen=True, eq=False)
class Traces:
    """Many traces end to end: trace i has the samples `offsets[i]` to `offsets[i + 1]`."""

    names: tuple[str, ...]
    recordings: tuple[str, ...]
    times_s: Floats
    rates_mbps: Floats
    offsets: Ints

    def __len__(self) -> int:
        return len(self.names)


def pack(bandwidths: Sequence[Bandwidth]) -> Traces:
    """Lays traces end to end. Raises PolicyError if there is none."""
    if not bandwidths:
        raise PolicyError("no traces: at least one is needed")
    lengths = [len(one.times_s) for one in bandwidths]
    return Traces(
        tuple(one.name for one in bandwidths),
        tuple(one.recording for one in bandwidths),
        np.concatenate([one.times_s for one in bandwidths]),
        np.concatenate([one.rates_mbps for one in bandwidths]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
