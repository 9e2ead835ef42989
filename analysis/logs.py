"""The logs of a cell: which columns the metrics read, and the one place that reads and checks them.

Docs/reference/formats.md describes every column. What a file has besides is left out.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.errors import AnalysisError

_TIME, _COUNT = pa.int64(), pa.int64()
_MAX_ROWS = 500_000_000
_LIMIT = 2**61  # of integers: the difference of two still fits into 64 bits


def _needed(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


COLUMNS: dict[str, pa.Schema] = {
    "packets": pa.schema(
        [
            _needed("link", pa.uint8()),
            _needed("flow", pa.int16()),
            _needed("ack", pa.bool_()),
            _needed("enqueue_ns", _TIME),
            ("dequeue_ns", _TIME),
            ("deliver_ns", _TIME),
            _needed("size_bytes", pa.uint32()),
            _needed("verdict", pa.uint8()),
            _needed("marked", pa.bool_()),
        ]
    ),
    "goodput": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("at_ns", _TIME),
            _needed("received_bytes", _COUNT),
        ]
    ),
    "tcpinfo": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("srtt_ns", _TIME),
            _needed("bytes_sent", _COUNT),
            _needed("bytes_retrans", _COUNT),
        ]
    ),
    "frames": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("captured_ns", _TIME),
            _needed("size_bytes", _COUNT),
            ("sent_ns", _TIME),
            ("completed_ns", _TIME),
            ("displayed_ns", _TIME),
        ]
    ),
    "chunks": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("chunk", _COUNT),
            _needed("level", _COUNT),
            _needed("bitrate_kbps", pa.float64()),
            _needed("utility", pa.float64()),
            _needed("request_ns", _TIME),
            _needed("last_byte_ns", _TIME),
            _needed("buffer_s", pa.float64()),
            _needed("rebuffer_s", pa.float64()),
            _needed("throughput_bps", pa.float64()),
            _needed("source", pa.string()),
            _needed("decision_ns", _TIME),
        ]
    ),
    "jobs": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("job", _COUNT),
            _needed("arrival_ns", _TIME),
            ("done_ns", _TIME),
        ]
    ),
    "tasks": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("job", _COUNT),
            _needed("stage", _COUNT),
            _needed("worker", _COUNT),
            _needed("slot", _COUNT),
            _needed("start_ns", _TIME),
            _needed("fetched_ns", _TIME),
            _needed("end_ns", _TIME),
            _needed("late_ns", _TIME),
            _needed("remote_bytes", _COUNT),
            _needed("lost", pa.bool_()),
        ]
    ),
    "placements": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("source", pa.string()),
            _needed("decision_ns", _TIME),
        ]
    ),
    "sessions": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("chunk_s", pa.float64()),
            _needed("stall_per_s", pa.float64()),
            _needed("switch", pa.float64()),
            ("started_ns", _TIME),
            _needed("ended", pa.string()),
            _needed("open_stall_s", pa.float64()),
        ]
    ),
    "transfers": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("arrival_ns", _TIME),
            _needed("size_bytes", _COUNT),
            ("completed_ns", _TIME),
        ]
    ),
    "acks": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("at_ns", _TIME),
            _needed("delivered_bytes", _COUNT),
            _needed("app_limited", pa.bool_()),
        ]
    ),
    "decisions": pa.schema(
        [
            _needed("flow", pa.int16()),
            _needed("slot", _COUNT),
            _needed("generation", _COUNT),
            _needed("window", _COUNT),
            ("window_end_ns", _TIME),
            ("close_ack_ns", _TIME),
            ("applied_ns", _TIME),
            _needed("pacing_rate_bps", pa.float64()),
            _needed("tier", pa.string()),
            _needed("deadline_missed", pa.bool_()),
        ]
    ),
    "events": pa.schema(
        [
            _needed("at_ns", _TIME),
            _needed("flow", pa.int16()),
            _needed("event", pa.string()),
            _needed("detail", pa.string()),
        ]
    ),
}
"""What the metrics read of each log. A column that is not nullable must not hold nulls."""

_LATER: dict[tuple[str, str], bool | int] = {
    ("packets", "marked"): False,
    ("decisions", "slot"): 0,
}
"""Columns that run folders of earlier versions lack, with what held for them."""


def read_log(folder: Path, name: str, columns: pa.Schema | None = None) -> pd.DataFrame:
    """``<name>.parquet`` of a cell's folder; a frame without columns if there is none.

    columns: what to read; None: what the metrics read, COLUMNS.

    Integer columns with nulls come as float64, with NaN for null. Raises AnalysisError for a file
    that cannot be read, lacks a column, or holds what the column cannot hold.
    """
    path = folder / f"{name}.parquet"
    if not path.exists():
        return pd.DataFrame()
    wanted = columns if columns is not None else COLUMNS[name]
    try:
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > _MAX_ROWS:
            raise AnalysisError(f"{path}: has more than {_MAX_ROWS:,} rows")
        found = file.schema_arrow.names
        absent = [column for column in wanted.names if column not in found]
        missing = [column for column in absent if (name, column) not in _LATER]
        if missing:
            raise AnalysisError(f"{path}: lacks {', '.join(missing)}")
        table = file.read(columns=[column for column in wanted.names if column in found])
        for column in absent:
            value = pa.scalar(_LATER[name, column])
            table = table.append_column(column, pa.repeat(value, table.num_rows))
    except AnalysisError:
        raise
    except (OSError, ValueError, KeyError, NotImplementedError) as error:  # Arrow's among them
        raise AnalysisError(f"{path}: not a readable Parquet file: {_line(error)}") from error
    columns = [_checked(path, field, table.column(field.name)) for field in wanted]
    frame: pd.DataFrame = pa.table(columns, schema=wanted).to_pandas()
    return frame


def _checked(path: Path, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in the type that is wanted. Raises AnalysisError naming file and column."""
    try:
        column = column.cast(field.type)
        if not field.nullable and column.null_count:
            raise AnalysisError(f"{path}: column {field.name} holds nulls")
        if field.type == pa.int64() and len(column):
            bounds = pc.min_max(column).as_py()
            if bounds["min"] is not None and max(-bounds["min"], bounds["max"]) > _LIMIT:
                raise AnalysisError(f"{path}: column {field.name} holds a number beyond 2^61")
        if field.type == pa.float64() and len(column) and not pc.all(pc.is_finite(column)).as_py():
            raise AnalysisError(f"{path}: column {field.name} holds a number that is not finite")
    except AnalysisError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise AnalysisError(
            f"{path}: column {field.name} is no {field.type}: {_line(error)}"
        ) from error
    return column


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
