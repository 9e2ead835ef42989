"""`seconds Mbit/s` text, one sample per line: cooked Pensieve traces, Lumos5G's, and many others.

Pensieve's simulator and those that follow it take a sample for the interval that *ends* at its time
(Mao et al., SIGCOMM 2017, `sim/fixed_env.py`), so that the rate of the first line is never used.
The format `seconds-mbit` does the same. `seconds-mbit-starts` holds a sample from its time until
the next. With regular times the two differ by one step; with irregular ones they are different
links.
"""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from traces.formats.base import (
    MAX_CLOCK_S,
    MAX_RATE_MBPS,
    ReadOnly,
    ended_spans_ns,
    first_line,
    relative_ns,
    spans_ns,
)
from traces.formats.source import Source
from traces.forms import NS_PER_S, Float64s, Steps
from traces.model import Trace

_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
# Recorders wobble by milliseconds; what differs by more than this part of a step is irregular.
_REGULAR = 0.1
# Means by the two rules that differ by less than this part are not worth a warning.
_SAME_MEAN = 0.01


class SecondsMbit(ReadOnly):
    """One of the two rules: whether the interval of a sample `ends` or `starts` at its time."""

    def __init__(self, interval: Literal["ends", "starts"]) -> None:
        self.interval = interval
        self.name = "seconds-mbit" if interval == "ends" else "seconds-mbit-starts"
        which = "the interval before its time" if interval == "ends" else "the time until the next"
        self.description = f"lines of `seconds Mbit/s`, a sample for {which}"

    def matches(self, text: str) -> bool:
        if self.interval == "starts":
            return False
        fields = _SEPARATOR.split(first_line(text))
        return len(fields) == 2 and all(_is_number(field) for field in fields)

    def read(self, source: Source, name: str) -> Trace:
        places, times_s, rates_mbps = samples(source)
        times_ns = relative_ns(source, places, times_s, NS_PER_S)
        if "," in first_line(source.text):
            source.notes.append("it has no header: its columns were read as seconds and Mbit/s")
        trace, other = self._trace(source, name, times_ns, rates_mbps * 1e6)
        _note_irregular(source, self.interval, times_ns, trace, other)
        return trace

    def _trace(
        self,
        source: Source,
        name: str,
        times_ns: np.ndarray[tuple[int], np.dtype[np.int64]],
        rates_bps: Float64s,
    ) -> tuple[Trace, float]:
        """The trace by this rule, and the mean in bit/s by the other."""
        held_ns, held_period_ns = spans_ns(source, times_ns)
        ended_ns, ended_period_ns, first = ended_spans_ns(source, times_ns)
        held = (Steps(held_ns, rates_bps), held_period_ns)
        ended = (Steps(ended_ns, rates_bps[first:]), ended_period_ns)
        mine, other = (ended, held) if self.interval == "ends" else (held, ended)
        return Trace(name, mine[1], mine[0]), _mean_bps(*other)


def samples(source: Source) -> tuple[list[str], Float64s, Float64s]:
    """Places in the file, times in seconds and rates in Mbit/s, as they stand there. Raises
    TraceError.
    """
    places: list[str] = []
    times_s: list[float] = []
    rates_mbps: list[float] = []
    for number, line in source.lines():
        place = f"line {number}"
        fields = _SEPARATOR.split(line)
        if len(fields) != 2:
            raise source.error(place, f"{line[:40]!r} is not of the form `seconds Mbit/s`")
        places.append(place)
        times_s.append(source.number(fields[0], place, "the time (s)", 0, MAX_CLOCK_S))
        rates_mbps.append(source.number(fields[1], place, "the rate (Mbit/s)", 0, MAX_RATE_MBPS))
    if not places:
        raise source.error("", "holds no sample")
    return places, np.array(times_s), np.array(rates_mbps)


def _note_irregular(
    source: Source,
    interval: str,
    times_ns: np.ndarray[tuple[int], np.dtype[np.int64]],
    trace: Trace,
    other_bps: float,
) -> None:
    gaps = np.diff(times_ns)
    if len(gaps) < 2 or (np.abs(gaps - np.median(gaps)) <= _REGULAR * np.median(gaps)).all():
        return
    mean_bps = trace.mean_bps()
    if abs(mean_bps - other_bps) <= _SAME_MEAN * mean_bps:
        return
    rule = "the interval that ends at its time" if interval == "ends" else "the time until the next"
    other = "seconds-mbit-starts" if interval == "ends" else "seconds-mbit"
    source.notes.append(
        f"its times are irregular and each sample was read for {rule}: mean {mean_bps / 1e6:.3f} "
        "Mbit/s; "
        f"by the other rule ({other}) it is {other_bps / 1e6:.3f}"
    )


def _mean_bps(steps: Steps, period_ns: int) -> float:
    return float(np.average(steps.capacity_bps, weights=np.diff(steps.start_ns, append=period_ns)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
