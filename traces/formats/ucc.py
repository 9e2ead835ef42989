"""CSV of University College Cork's 4G and 5G sets: `Timestamp` as 2019.12.14_11.41.23, `DL_bitrate`
in kbit/s.

One row a second (Raca et al., MMSys 2018 and 2020). A row is read as the rate until the next row.
Rows where nothing is downloaded (State `I`) are part of the trace: their rate is not a capacity,
and a note says how
many there are.
"""

from __future__ import annotations

import numpy as np

from traces.formats.base import ReadOnly, relative_ns, spans_ns
from traces.formats.source import Source
from traces.formats.table import header_of, header_with, rows_of
from traces.formats.units import parse_date_s
from traces.forms import MAX_RATE_BPS, NS_PER_S, Steps
from traces.model import Trace

_NEEDED = ("Timestamp", "DL_bitrate")


class Ucc(ReadOnly):
    name = "ucc"
    suffix = ""
    description = "CSV of UCC's 4G and 5G sets: Timestamp, DL_bitrate in kbit/s"

    def matches(self, text: str) -> bool:
        return set(_NEEDED) <= set(header_of(text))

    def read(self, source: Source, name: str) -> Trace:
        header = header_with(source, _NEEDED)
        at, rate = header.index("Timestamp"), header.index("DL_bitrate")
        state = header.index("State") if "State" in header else None
        places, times_s, rates_bps, idle = [], [], [], 0
        for row in rows_of(source):
            time_s = parse_date_s(row.cells[at])
            if time_s is None:
                raise source.error(
                    row.place, f"Timestamp is {row.cells[at][:40]!r}; 2019.12.14_11.41.23 is needed"
                )
            places.append(row.place)
            times_s.append(time_s)
            kbps = source.number(
                row.cells[rate], row.place, "DL_bitrate (kbit/s)", 0, MAX_RATE_BPS / 1e3
            )
            rates_bps.append(kbps * 1e3)
            idle += state is not None and row.cells[state] == "I"
        if not places:
            raise source.error("", "has a header but no row")
        if idle:
            source.notes.append(
                f"{idle} of its {len(places)} rows are of a phone that downloads nothing (State "
                "I): no capacity"
            )
        start_ns, period_ns = spans_ns(source, relative_ns(source, places, times_s, NS_PER_S))
        return Trace(name, period_ns, Steps(start_ns, np.array(rates_bps)))
