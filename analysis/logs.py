"""The Parquet logs of a cell as NumPy columns, checked against the schemas of docs/formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.errors import AnalysisError

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Log = dict[str, npt.NDArray[Any]]

MISSING = -1  # a null in an integer column: all our times and counters are positive

# Verdicts of packets.parquet.
DELIVERED, TAIL_DROP, AQM_DROP, RANDOM_LOSS, IN_QUEUE = range(5)

_INT, _FLOAT, _BOOL, _TEXT = pa.int64(), pa.float64(), pa.bool_(), pa.string()
Columns = Mapping[str, pa.DataType]
PACKETS: Columns = {
    "link": _INT,
    "flow": _INT,
    "ack": _BOOL,
    "enqueue_ns": _INT,
    "dequeue_ns": _INT,
    "deliver_ns": _INT,
    "size_bytes": _INT,
    "due_ns": _INT,
    "verdict": _INT,
}
GOODPUT: Columns = {"flow": _INT, "at_ns": _INT, "received_bytes": _INT}
TCPINFO: Columns = {
    "flow": _INT,
    "at_ns": _INT,
    "srtt_ns": _INT,
    "cwnd_packets": _INT,
    "bytes_sent": _INT,
    "bytes_retrans": _INT,
}
FRAMES: Columns = {
    "flow": _INT,
    "frame": _INT,
    "captured_ns": _INT,
    "size_bytes": _INT,
    "sent_ns": _INT,
    "displayed_ns": _INT,
}
DECISIONS: Columns = {
    "flow": _INT,
    "generation": _INT,
    "window": _INT,
    "close_ack_ns": _INT,
    "applied_ns": _INT,
    "pacing_rate_bps": _FLOAT,
    "tier": _TEXT,
    "queue_ns": _INT,
    "compute_ns": _INT,
    "deadline_missed": _BOOL,
}
EVENTS: Columns = {"at_ns": _INT, "flow": _INT, "event": _TEXT, "detail": _TEXT}


def read(path: Path, columns: Columns) -> Log:
    """The named columns, each [n]: int64 with MISSING for null, float64 with NaN, bool, or text.

    Raises AnalysisError naming the file and the column.
    """
    try:
        file = pq.ParquetFile(path)
        absent = [name for name in columns if name not in file.schema_arrow.names]
        if absent:
            raise AnalysisError(f"{path}: column {absent[0]} is missing")
        table = file.read(columns=list(columns))
    except FileNotFoundError:
        raise AnalysisError(f"{path}: missing") from None
    except (OSError, pa.ArrowException) as error:
        first_line = str(error).partition("\n")[0]
        raise AnalysisError(f"{path}: cannot be read as Parquet: {first_line}") from error
    return {name: _column(path, name, table[name], kind) for name, kind in columns.items()}


def _column(path: Path, name: str, column: pa.ChunkedArray, kind: pa.DataType) -> npt.NDArray[Any]:
    try:
        column = column.cast(kind)
    except pa.ArrowException as error:
        raise AnalysisError(f"{path}: column {name} is {column.type}, not {kind}") from error
    fill = {_INT: MISSING, _FLOAT: np.nan, _BOOL: False, _TEXT: ""}[kind]
    return np.asarray(pc.fill_null(column, fill).to_numpy())


def where(log: Log, mask: Bools) -> Log:
    """The rows for which `mask` holds."""
    return {name: column[mask] for name, column in log.items()}


def of_flow(log: Log, flow: int) -> Log:
    """The rows of one flow."""
    return where(log, log["flow"] == flow)
