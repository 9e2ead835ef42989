"""Raw logs of the HSDPA (Norway) and 4G (Ghent) sets: six numbers a line.

Unix time (s or ms), milliseconds since the start, latitude, longitude, bytes received since the
line before, milliseconds since the line before (Riiser et al., MMSys 2013; van der Hooft et al.,
IEEE Communications Letters 2016). A line describes the interval that ends at its time; the lines
follow
one another.
"""

from __future__ import annotations

import numpy as np

from traces.formats.base import ReadOnly, first_line, starts_from_durations
from traces.formats.source import Source
from traces.forms import MAX_OPPORTUNITY_BYTES, MAX_TIME_NS, Steps
from traces.model import Trace

NS_PER_MS = 1_000_000
_FIELDS = 6
# Of the time in the file that may be described by no line before a note says so.
_GAPS = 0.02


class HsdpaLog(ReadOnly):
    name = "hsdpa-log"
    suffix = ""
    description = "raw logs of the HSDPA and Ghent sets: time, ms, latitude, longitude, bytes, ms"

    def matches(self, text: str) -> bool:
        fields = first_line(text).split()
        return len(fields) == _FIELDS and all(
            each.replace(".", "", 1).lstrip("-").isdecimal() for each in fields
        )

    def read(self, source: Source, name: str) -> Trace:
        durations_ms: list[float] = []
        received_bytes: list[float] = []
        clock_ms: list[float] = []
        skipped = 0
        for number, line in source.lines():
            place, fields = f"line {number}", line.split()
            if len(fields) != _FIELDS:
                raise source.error(
                    place,
                    f"has {len(fields)} fields; six are needed: time, ms, lat, lon, bytes, ms",
                )
            duration_ms = source.number(
                fields[5], place, "the interval (ms)", 0, MAX_TIME_NS / NS_PER_MS
            )
            received = source.number(fields[4], place, "bytes", 0, MAX_OPPORTUNITY_BYTES)
            clock_ms.append(
                source.number(fields[1], place, "the time (ms)", 0, MAX_TIME_NS / NS_PER_MS)
            )
            if duration_ms == 0:
                skipped += 1
                continue
            durations_ms.append(duration_ms)
            received_bytes.append(received)
        if not durations_ms:
            raise source.error("", "no line describes an interval above 0 ms")
        if skipped:
            source.notes.append(f"{skipped} of its lines describe 0 ms and are left out")
        described_ms = sum(durations_ms[1:])
        span_ms = clock_ms[-1] - clock_ms[0]
        if span_ms > described_ms * (1 + _GAPS):
            source.notes.append(
                f"its lines describe {described_ms / 1e3:.1f} s of {span_ms / 1e3:.1f} s; the "
                "rest is left out"
            )
        durations = np.array(durations_ms)
        start_ns, period_ns = starts_from_durations(np.rint(durations * NS_PER_MS).astype(np.int64))
        return Trace(name, period_ns, Steps(start_ns, np.array(received_bytes) * 8e3 / durations))
