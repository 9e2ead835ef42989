"""A trace format of your own in one file: here, lines of `kilobytes` received, one a second.

    printf '500\n750\n250\n' > drive.kb
    tbtest traces show drive.kb --from examples/my_trace_format.py:KilobytesPerSecond
    sudo tbtest run --trace drive.kb --trace-format examples/my_trace_format.py:KilobytesPerSecond

Naming the file runs it.
"""

from __future__ import annotations

import numpy as np

from traces import Steps, Trace
from traces.formats import ReadOnly, Source


class KilobytesPerSecond(ReadOnly):
    """Line i is what the second i brought."""

    name = "kilobytes-per-second"
    description = "kilobytes received, one line a second"

    def read(self, source: Source, name: str) -> Trace:
        rates_bps = [
            source.number(line, f"line {number}", "kilobytes", 0, 1e8) * 8e3
            for number, line in source.lines()
        ]
        start_ns = np.arange(len(rates_bps)) * 10**9
        return Trace(name, len(rates_bps) * 10**9, Steps(start_ns, np.array(rates_bps)))
