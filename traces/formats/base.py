"""What a trace format is. To add one: write its file and name it in `FORMATS`, or name the file on
the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from traces.errors import TraceError
from traces.formats.source import Source
from traces.forms import MAX_RATE_BPS, MAX_TIME_NS, NS_PER_S, Float64s, Int64s
from traces.model import Trace

MAX_RATE_MBPS = MAX_RATE_BPS / 1e6
MAX_CLOCK_S = (
    1e14  # of a time as the file has it, which may be a date in milliseconds or microseconds
)
_A_DATE_NS = 1e15


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
        """The trace in `source`. Raises TraceError that names the line and the remedy."""

    def write(self, trace: Trace, path: Path) -> None:
        """Raises TraceError when the format cannot hold the trace."""


class ReadOnly:
    """What a format that only reads, and is chosen by name alone, need not say itself."""

    name: str = "own"
    suffix: str = ""
    description: str = ""

    def matches(self, text: str) -> bool:
        return False

    def write(self, trace: Trace, path: Path) -> None:
        raise TraceError(f"{path}: the format {self.name} is only read, not written")


def first_line(text: str) -> str:
    """The first line that holds data, "" if there is none."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            return stripped
    return ""


def relative_ns(
    source: Source, places: Sequence[str], times: Sequence[float] | Float64s, ns_per_unit: float
) -> Int64s:
    """Times of samples in nanoseconds after the first one: int64[n]. The first may be any date.

    Raises TraceError where time runs backwards or the file describes more than 100 days.
    """
    clock = np.asarray(times, dtype=np.float64)
    backwards = np.diff(clock) < 0
    if backwards.any():
        place = places[int(np.argmax(backwards)) + 1]
        raise source.error(
            place, "its time is before that of the line above; sort the file by time"
        )
    after_ns = (clock - clock[0]) * ns_per_unit
    if after_ns[-1] > MAX_TIME_NS:
        raise source.error(
            "",
            f"describes {after_ns[-1] / NS_PER_S / 86400:.3g} days, more than 100; check the "
            "unit of its times",
        )
    # A date in a float is good to 0.2 microseconds.
    digit_ns = 1000 if clock[0] * ns_per_unit > _A_DATE_NS else 1
    return np.asarray(np.rint(after_ns / digit_ns).astype(np.int64) * digit_ns)


def spans_ns(source: Source, times_ns: Int64s) -> tuple[Int64s, int]:
    """Starts and period of samples taken at `times_ns` (the first at 0), each holding until the
    next.

    The last sample lasts as long as the median of the others (1 s if it is alone). Recorders that
    write whole seconds put two samples into one second now and then: samples with the same time
    share the span until the next one evenly. Raises TraceError where there are more of them than
    nanoseconds to
    share.
    """
    distinct, counts = np.unique(times_ns, return_counts=True)
    last_ns = int(np.median(np.diff(distinct))) if len(distinct) > 1 else NS_PER_S
    edges = np.append(distinct, distinct[-1] + last_ns)
    return _shared(source, edges, counts), int(edges[-1])


def ended_spans_ns(source: Source, times_ns: Int64s) -> tuple[Int64s, int, int]:
    """Starts and period of samples that each describe the interval which ends at its time, and the
    first one kept.

    What lies at the first time describes an interval before the file begins, and is left out,
    unless there is no later time. Samples with the same time share the interval evenly. Raises
    TraceError like
    `spans_ns`.
    """
    distinct, counts = np.unique(times_ns, return_counts=True)
    if len(distinct) == 1:
        return *spans_ns(source, times_ns), 0
    return _shared(source, distinct, counts[1:]), int(distinct[-1]), int(counts[0])


def _shared(source: Source, edges: Int64s, counts: Int64s) -> Int64s:
    """Starts of counts[i] equal steps between edges[i] and edges[i + 1]."""
    lengths = np.diff(edges)
    if (lengths < counts).any():
        raise source.error("", "too many samples have the same time; the file needs finer times")
    within = np.concatenate([np.arange(count) for count in counts])
    return np.asarray(np.repeat(edges[:-1], counts) + within * np.repeat(lengths // counts, counts))


def starts_from_durations(durations_ns: Int64s) -> tuple[Int64s, int]:
    """Starts and period of steps that follow one another. Raises TraceError beyond 100 days."""
    if durations_ns.astype(np.float64).sum() > MAX_TIME_NS:
        raise TraceError(
            "the steps last more than 100 days together; check the unit of their durations"
        )
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
