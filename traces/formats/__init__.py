"""Trace file formats, one file each, and the list of them."""

from __future__ import annotations

from collections.abc import Sequence

from plugins import is_reference, load_class
from traces.errors import TraceError
from traces.formats.base import ReadOnly, TraceFormat
from traces.formats.csv_columns import Csv
from traces.formats.genet import Genet
from traces.formats.hsdpa_log import HsdpaLog
from traces.formats.json_list import JsonList
from traces.formats.lumos import Lumos
from traces.formats.mahimahi import Mahimahi
from traces.formats.netem_trace import NetemTrace
from traces.formats.opennetlab import OpenNetLab
from traces.formats.seconds_mbit import SecondsMbit
from traces.formats.source import Source
from traces.formats.tc_profile import TcProfile
from traces.formats.tcconfig import TcConfig
from traces.formats.ucc import Ucc

# In the order in which a file's beginning is tried: the particular before the general.
FORMATS: Sequence[TraceFormat] = (
    Mahimahi(),
    SecondsMbit("ends"),
    SecondsMbit("starts"),
    HsdpaLog(),
    TcProfile(),
    JsonList(),
    TcConfig(),
    NetemTrace(),
    Genet(),
    OpenNetLab(),
    Ucc(),
    Lumos(),
    Csv(),
)


def format_named(name: str) -> TraceFormat:
    """The format of that name, or of the user's own class `path/to/file.py:Class`, which runs the
    file.

    Raises TraceError.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    if is_reference(name):
        own = load_class(name, TraceFormat, "trace format", TraceError)  # type: ignore[type-abstract]
        try:
            return own()
        except Exception as error:
            raise TraceError(
                f"trace format {name}: cannot be made without arguments: {type(error).__name__}: "
                f"{error}"
            ) from error
    raise TraceError(
        f"no trace format {name!r}; there are {', '.join(known.name for known in FORMATS)}, "
        "parquet, "
        "and path/to/file.py:Class"
    )


def detect_format(text: str) -> TraceFormat | None:
    """The first format that a file beginning like `text` may have."""
    return next((known for known in FORMATS if known.matches(text[:4096])), None)


__all__ = ["FORMATS", "ReadOnly", "Source", "TraceFormat", "detect_format", "format_named"]
