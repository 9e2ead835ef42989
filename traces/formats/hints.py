"""What a file of no known format looks like, and how to make a trace of it."""

from __future__ import annotations

import re

from traces.formats.base import first_line
from traces.formats.table import header_of

_FRACTION = re.compile(r"[0-9]*\.[0-9]+")
_RTT = re.compile(r"\brtt\b|latency|delay", re.IGNORECASE)
_RATE = re.compile(r"rate|capacity|bandwidth|throughput|bps|bytes", re.IGNORECASE)


def looks_like(text: str) -> str:
    """One sentence for an error message; "" if the text looks like nothing known."""
    line = first_line(text)
    if _FRACTION.fullmatch(line):
        return (
            "it looks like Mahimahi with fractions; Mahimahi has whole milliseconds, one a packet: "
            "write them so (awk '{printf \"%.0f\\n\", $1}' for milliseconds, $1 * 1000 for seconds)"
        )
    header = ",".join(header_of(text))
    if _RTT.search(header) and not _RATE.search(header):
        return (
            "it looks like a log of round trips, which says nothing of capacity: "
            "give a link its delay by --rtt"
        )
    return ""
