"""Mahimahi packet-delivery traces: one integer per line, the millisecond of one 1500-byte delivery
opportunity.

A repeated millisecond means several packets; the file starts again when it ends, so that its last
timestamp is its period (Netravali et al., "Mahimahi: Accurate Record-and-Replay for HTTP", USENIX
ATC 2015, and mm-link(1)).
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from traces.errors import TraceError
from traces.formats.base import first_line, periodic_ns
from traces.formats.source import Source
from traces.forms import MAX_TIME_NS, Opportunities
from traces.model import Trace

PACKET_BYTES = 1500
NS_PER_MS = 1_000_000
MAX_PACKETS = 20_000_000  # about the lines that a file of the size limit of reading has


class Mahimahi:
    name = "mahimahi"
    suffix = ".mahimahi"
    description = "milliseconds of 1500-byte delivery opportunities, one a line (also gzip)"

    def matches(self, text: str) -> bool:
        return first_line(text).isdecimal()

    def read(self, source: Source, name: str) -> Trace:
        times_ms: list[int] = []
        previous = 0
        for number, line in source.lines():
            if not (line.isascii() and line.isdecimal()):
                raise source.error(
                    f"line {number}", f"{line[:40]!r} is not a whole number of milliseconds"
                )
            if len(line) > 12 or int(line) * NS_PER_MS > MAX_TIME_NS:
                raise source.error(
                    f"line {number}", f"{line[:40]} ms is more than 100 days; check the unit"
                )
            time_ms = int(line)
            if time_ms < previous:
                raise source.error(
                    f"line {number}",
                    f"{time_ms} ms comes after {previous} ms; sort the file by time",
                )
            times_ms.append(time_ms)
            previous = time_ms
        if not times_ms:
            raise source.error("", "holds no delivery opportunity")
        if times_ms[-1] == 0:
            raise source.error(
                "", "ends at 0 ms; the last timestamp is the period and must be above 0"
            )
        at_ns = np.array(times_ms, dtype=np.int64) * NS_PER_MS
        sizes = np.full(len(at_ns), PACKET_BYTES, dtype=np.int64)
        return Trace(name, int(at_ns[-1]), opportunities=Opportunities(at_ns, sizes))

    def write(self, trace: Trace, path: Path) -> None:
        """A trace read from this format comes back line by line. Of another, packet k of n leaves
        in the millisecond in which k/n of the capacity has passed; the last one marks the period's
        end."""
        period_ms = max(1, round(periodic_ns(trace, path, self.name) / NS_PER_MS))
        packets = max(1, round(trace.total_bytes / PACKET_BYTES))
        if packets > MAX_PACKETS:
            raise TraceError(
                f"{path}: {trace.name} makes {packets:,} packets, more than the {MAX_PACKETS:,} "
                "that are written "
                "as Mahimahi; shorten the trace (--clip), scale it down, or write CSV or Parquet"
            )
        due_ns = trace.time_of_bytes(np.arange(1.0, packets + 1) * (trace.total_bytes / packets))
        due_ms = np.minimum(-(-due_ns // NS_PER_MS), period_ms)
        due_ms[-1] = period_ms
        text = "\n".join(map(str, due_ms.tolist())) + "\n"
        if path.suffix == ".gz":
            # Neither name nor time in the header, so that equal traces are equal files.
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
        else:
            path.write_text(text)
