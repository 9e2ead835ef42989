"""Trace file formats, one file each, and the list of them."""

from __future__ import annotations

from collections.abc import Sequence

from traces.errors import TraceError
from traces.formats.base import TraceFormat
from traces.formats.csv_columns import Csv
from traces.formats.json_list import JsonList
from traces.formats.mahimahi import Mahimahi
from traces.formats.opennetlab import OpenNetLab
from traces.formats.seconds_mbit import SecondsMbit

FORMATS: Sequence[TraceFormat] = (Mahimahi(), SecondsMbit(), JsonList(), OpenNetLab(), Csv())


def format_named(name: str) -> TraceFormat:
    """The format of that name. Raises TraceError."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise TraceError(
        f"no trace format {name!r}; there are {', '.join(known.name for known in FORMATS)}"
    )


def detect_format(text: str) -> TraceFormat | None:
    """The first format that a file beginning like `text` may have."""
    return next((known for known in FORMATS if known.matches(text[:4096])), None)


__all__ = ["FORMATS", "TraceFormat", "detect_format", "format_named"]
