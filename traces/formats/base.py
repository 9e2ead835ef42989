"""What a trace format is, and the list of them. To add one: write its file and name it in
`FORMATS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from traces.errors import TraceError
from traces.formats.source import Source
from traces.model import MAX_RATE_BPS, MAX_TIME_NS, NS_PER_S, Float64s, Int64s, Trace

MAX_TIME_S = MAX_TIME_NS / NS_PER_S
MAX_RATE_MBPS = MAX_RATE_BPS / 1e6


class TraceFormat(Protocol):
    """One text format. `suffix` is that of the files it writes; "" if it only reads."""

    name: str
    suffix: str
    description: str

    def matches(self, text: str) -> bool:
        """Whether a file that begins like `text` may be of this format; decides only when no name
        is given.
        """

    def read(self, source: Source, name: str) -> Trace:
        """The trace in `source`. Raises TraceError that names the line or element and the
        remedy.
        """

    def write(self, trace: Trace, path: Path) -> None:
        """Raises TraceError when the format cannot hold the trace."""


class ReadOnly:
    """The write half of a format that is only read."""

    name: str

    def write(self, trace: Trace, path: Path) -> None:
        raise TraceError(f"{path}: the format {self.name} is only read, not written")


def first_line(text: str) -> str:
    """The first line that holds data, "" if there is none."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            return stripped
    return ""


def spans_ns(source: Source, places: list[str], times_ns: list[int]) -> tuple[Int64s, int]:
    """Starts (shifted to begin at 0) and period of samples taken at `times_ns`, each holding until
    the next.

    The last sample lasts as long as the median of the others (1 s if it is alone). Recorders that
    write whole seconds put two samples into one second now and then: samples with the same time
    share the span until the next one evenly. Raises TraceError where time runs backwards.
    """
    times = np.array(times_ns, dtype=np.int64)
    gaps = np.diff(times)
    if (gaps < 0).any():
        index = int(np.argmax(gaps < 0)) + 1
        raise source.error(
            places[index], "its time is before that of the line above; sort the file by time"
        )
    distinct, counts = np.unique(times, return_counts=True)
    last_ns = int(np.median(np.diff(distinct))) if len(distinct) > 1 else NS_PER_S
    ends = np.append(distinct[1:], distinct[-1] + last_ns)
    if ((ends - distinct) < counts).any():
        raise source.error("", "too many samples have the same time; the file needs finer times")
    within = np.concatenate([np.arange(count) for count in counts])
    share = np.repeat((ends - distinct) // counts, counts)
    starts = np.repeat(distinct, counts) + within * share - distinct[0]
    return starts, int(ends[-1] - distinct[0])


def starts_from_durations(durations_ns: Int64s) -> tuple[Int64s, int]:
    """Starts and period of steps that follow one another."""
    ends = np.cumsum(durations_ns)
    return np.concatenate(([0], ends[:-1])), int(ends[-1])


def none_if_zero(values: Float64s) -> Float64s | None:
    """An optional column: files often carry it filled with zeros."""
    return values if values.any() else None


def periodic_ns(trace: Trace, path: Path, format_name: str) -> int:
    """The period of a trace for a format whose traces always repeat. Raises TraceError."""
    if trace.period_ns is None:
        raise TraceError(
            f"{path}: {trace.name} does not repeat and every {format_name} trace does; write CSV "
            "or Parquet"
        )
    return trace.period_ns
