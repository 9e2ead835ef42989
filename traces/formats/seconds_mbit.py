"""`seconds Mbit/s` text: one sample per line, which holds until the next. Pensieve, Lumos5G and
many others use it.
"""

from __future__ import annotations

import numpy as np

from traces.formats.base import MAX_RATE_MBPS, MAX_TIME_S, ReadOnly, first_line, spans_ns
from traces.formats.source import Source
from traces.model import NS_PER_S, Steps, Trace


class SecondsMbit(ReadOnly):
    name = "seconds-mbit"
    suffix = ""
    description = "lines of `seconds Mbit/s`"

    def matches(self, text: str) -> bool:
        fields = first_line(text).split()
        return len(fields) == 2 and all(_is_number(field) for field in fields)

    def read(self, source: Source, name: str) -> Trace:
        places, times_ns, rates_bps = [], [], []
        for number, line in source.lines():
            place = f"line {number}"
            fields = line.split()
            if len(fields) != 2:
                raise source.error(place, f"{line[:40]!r} is not of the form `seconds Mbit/s`")
            places.append(place)
            times_ns.append(
                round(source.number(fields[0], place, "the time (s)", 0, MAX_TIME_S) * NS_PER_S)
            )
            rates_bps.append(
                source.number(fields[1], place, "the rate (Mbit/s)", 0, MAX_RATE_MBPS) * 1e6
            )
        if not places:
            raise source.error("", "holds no sample")
        start_ns, period_ns = spans_ns(source, places, times_ns)
        return Trace(name, period_ns, Steps(start_ns, np.array(rates_bps)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
