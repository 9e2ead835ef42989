"""Bandwidth traces: one model, a reader per format, seeded generators, a small bundled set."""

from traces.errors import TraceError
from traces.forms import Opportunities, Steps
from traces.library import load, save
from traces.model import Trace, constant
from traces.parquet import read_parquet, write_parquet

__all__ = [
    "Opportunities",
    "Steps",
    "Trace",
    "TraceError",
    "constant",
    "load",
    "read_parquet",
    "save",
    "write_parquet",
]
