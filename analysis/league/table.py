"""The league's table: one row per cell, that is one scheme on one scenario.
docs/reference/league.md lists every column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from analysis.metrics.table import LEAGUE

VERSION = 3
_READABLE = (1, 2, 3)
"""Earlier versions lack columns that came later; they are null."""


KEYS: tuple[tuple[str, pa.DataType], ...] = (
    ("scenario", pa.string()),
    ("scheme", pa.string()),
    ("trace", pa.string()),
    ("family", pa.string()),
    ("split", pa.string()),
    ("traffic", pa.string()),
    ("flow", pa.string()),
    ("flows", pa.int16()),
    ("cross", pa.string()),
    ("rtt_ms", pa.float64()),
    ("buffer", pa.string()),
    ("loss", pa.string()),
    ("seed", pa.int32()),
    ("duration_s", pa.float64()),
    ("trace_mbps", pa.float64()),
    ("trace_scale", pa.float64()),
)
"""What a row is about; known before it is run."""
_MEASURED = (
    *((metric.name, pa.float64()) for metric in LEAGUE),
    ("freeze_rate", pa.float64()),
    ("frame_delay_p95_ms", pa.float64()),
    ("local_share", pa.float64()),
    ("cpu_busy", pa.float64()),
    ("cpu_steal", pa.float64()),
    ("warnings", pa.string()),
)
SCHEMA = pa.schema([*KEYS, *_MEASURED], metadata={"tbtest.league": str(VERSION)})


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The table of rows, by scenario and scheme. Raises AnalysisError for unknown or missing
    columns.
    """
    for row in rows:
        if wrong := set(row) ^ set(SCHEMA.names):
            raise AnalysisError(
                f"league row {row.get('scenario')}: missing or unknown {', '.join(sorted(wrong))}"
            )
    ordered = sorted(rows, key=lambda row: (row["scenario"], row["scheme"]))
    return pa.Table.from_pylist([dict(row) for row in ordered], schema=SCHEMA)


def read_table(path: Path) -> pa.Table:
    """Raises AnalysisError if it is not a league's table."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise AnalysisError(f"{path}: not a readable Parquet file: {error}") from error
    version = (table.schema.metadata or {}).get(b"tbtest.league", b"").decode()
    unknown = set(table.column_names) - set(SCHEMA.names)
    missing = {name for name, _ in KEYS} - set(table.column_names)
    if version not in map(str, _READABLE) or unknown or missing:
        raise AnalysisError(
            f"{path}: not a league's table of version {VERSION}; run `tbtest league` again"
        )
    columns = [
        table.column(field.name)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in SCHEMA
    ]
    try:
        return pa.table(columns, names=SCHEMA.names).cast(SCHEMA)
    except pa.ArrowException as error:
        raise AnalysisError(f"{path}: a column is of another type: {error}") from error


def pooled(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of several leagues as one.

    Cells are paired within their own league, since another one may have run on another machine: a
    scenario that is in more than one gets the number of its table behind its name.
    """
    met: set[str] = set()
    parts = []
    for number, table in enumerate(tables, 1):
        names = table["scenario"].to_pylist()
        renamed = [f"{name} ({number})" if name in met else name for name in names]
        met.update(names)
        parts.append(table.set_column(0, SCHEMA.field("scenario"), pa.array(renamed, pa.string())))
    return pa.concat_tables(parts)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """For computation: missing numbers are NaN."""
    frame: pd.DataFrame = table.to_pandas()
    return frame
