"""CSV of Lumos5G: `run_num`, `seq_num` (seconds within a run) and `Throughput` in Mbit/s, one row a
second.

(Narayanan et al., IMC 2020.) A file holds many walks or drives; the first run is read and a note
names the others.
"""

from __future__ import annotations

import numpy as np

from traces.formats.base import MAX_CLOCK_S, MAX_RATE_MBPS, ReadOnly, relative_ns, spans_ns
from traces.formats.source import Source
from traces.formats.table import header_of, header_with, rows_of
from traces.forms import NS_PER_S, Steps
from traces.model import Trace

_NEEDED = ("run_num", "seq_num", "Throughput")


class Lumos(ReadOnly):
    name = "lumos5g"
    suffix = ""
    description = "CSV of Lumos5G: run_num, seq_num, Throughput in Mbit/s"

    def matches(self, text: str) -> bool:
        return set(_NEEDED) <= set(header_of(text))

    def read(self, source: Source, name: str) -> Trace:
        header = header_with(source, _NEEDED)
        run, second, rate = (header.index(column) for column in _NEEDED)
        runs: list[str] = []
        places, times_s, rates_mbps = [], [], []
        for row in rows_of(source):
            if row.cells[run] not in runs[-1:]:
                runs.append(row.cells[run])
            if row.cells[run] != runs[0]:
                continue
            places.append(row.place)
            times_s.append(
                source.number(row.cells[second], row.place, "seq_num (s)", 0, MAX_CLOCK_S)
            )
            rates_mbps.append(
                source.number(row.cells[rate], row.place, "Throughput", 0, MAX_RATE_MBPS)
            )
        if not places:
            raise source.error("", "has a header but no row")
        others = len(set(runs)) - 1
        if others:
            source.notes.append(
                f"run {runs[0]} was read; for one of the {others} others keep the header and its "
                "rows alone"
            )
        start_ns, period_ns = spans_ns(source, relative_ns(source, places, times_s, NS_PER_S))
        return Trace(name, period_ns, Steps(start_ns, np.array(rates_mbps) * 1e6))
