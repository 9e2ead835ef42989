"""The lossless form of a trace, in run folders and in the user's library: Parquet.

Steps have the columns `start_ns`, `capacity_bps` and, where the trace has them, `delay_ns` and
`loss`; delivery opportunities have `at_ns` and `bytes`. Name, period and provenance are in the
schema's metadata under `tbtest.trace`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from traces.errors import TraceError
from traces.forms import Opportunities, Steps
from traces.model import Trace

SCHEMA = 1
_KEY = b"tbtest.trace"
MAGIC = b"PAR1"
MAX_ROWS = 50_000_000
_COLUMNS = (
    pa.field("start_ns", pa.int64(), nullable=False),
    pa.field("capacity_bps", pa.float64(), nullable=False),
    pa.field("delay_ns", pa.int64(), nullable=False),
    pa.field("loss", pa.float64(), nullable=False),
    pa.field("at_ns", pa.int64(), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
)


def write_parquet(
    trace: Trace, path: Path | str, provenance: Mapping[str, object] | None = None
) -> None:
    """Write `trace`; `provenance` (JSON values: source file, hash, generator, ...) is kept with
    it.
    """
    if trace.steps is not None:
        columns = {key: column for key, column in vars(trace.steps).items() if column is not None}
    else:
        assert trace.opportunities is not None
        columns = {"at_ns": trace.opportunities.at_ns, "bytes": trace.opportunities.size_bytes}
    about = {
        "schema": SCHEMA,
        "name": trace.name,
        "period_ns": trace.period_ns,
        "provenance": dict(provenance or {}),
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    pq.write_table(table, path, compression="zstd")


def read_parquet(path: Path | str | BinaryIO) -> Trace:
    """The trace in `path`. Raises TraceError, also where its name breaks the rule of
    `traces.names`.
    """
    table, about = _read(path)
    path = path if isinstance(path, str | Path) else "pipe"
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    try:
        if "at_ns" in columns:
            opportunities = Opportunities(columns["at_ns"], columns["bytes"])
            return Trace(about["name"], about["period_ns"], opportunities=opportunities)
        steps = Steps(
            columns["start_ns"],
            columns["capacity_bps"],
            columns.get("delay_ns"),
            columns.get("loss"),
        )
        return Trace(about["name"], about["period_ns"], steps)
    except KeyError as error:
        raise TraceError(f"{path}: {error} is missing; it is no trace of tbtest") from None
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None


def read_provenance(path: Path | str) -> dict[str, Any]:
    """What was stored beside the trace. Raises TraceError."""
    return dict(_read(path)[1].get("provenance", {}))


def _read(path: Path | str | BinaryIO) -> tuple[pa.Table, dict[str, Any]]:
    """The table, its columns of the schema's types and without nulls, and the metadata."""
    try:
        file = pq.ParquetFile(path)
        about = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
        if about.get("schema") != SCHEMA:
            found = about.get("schema", "none")
            raise TraceError(
                f"{path}: has trace schema {found}, this version of tbtest reads {SCHEMA}"
            )
        if file.metadata.num_rows > MAX_ROWS:
            raise TraceError(f"{path}: has more than {MAX_ROWS:,} rows; split it")
        table = file.read()
        wanted = pa.schema([field for field in _COLUMNS if field.name in table.column_names])
        return table.select(wanted.names).cast(wanted), about
    except (
        OSError,
        ValueError,
        AttributeError,
    ) as error:  # Arrow's and json's errors are ValueErrors
        if isinstance(error, TraceError):
            raise
        raise TraceError(
            f"{path}: cannot be read as a trace: {str(error).splitlines()[0]}"
        ) from None
