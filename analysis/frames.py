"""The logs of a whole run as typed pandas frames, for analyses of one's own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError

# Integers stay integers where a value is missing, instead of becoming float64.
_NULLABLE = {
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


def log_names(folder: Path) -> list[str]:
    """The logs that a cell's folder holds, by name."""
    return sorted(path.stem for path in folder.glob("*.parquet"))


def read_table(folder: Path, name: str) -> pa.Table:
    """``<name>.parquet`` of a cell's folder with all its columns. Raises AnalysisError."""
    path = folder / f"{name}.parquet"
    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        there = ", ".join(log_names(folder)) or "none"
        raise AnalysisError(f"{path}: there is no such log; there are: {there}") from error
    except (OSError, ValueError, NotImplementedError) as error:  # Arrow's among them
        text = " ".join(str(error).split())
        raise AnalysisError(f"{path}: not a readable Parquet file: {text}") from error


def read_frame(folder: Path, name: str, start_ns: int) -> pd.DataFrame:
    """A log with all its columns in nullable types, and `<x>_s` beside every time `<x>_ns`: float64
    seconds since ``start_ns``. Raises AnalysisError.
    """
    table = read_table(folder, name)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_NULLABLE.get)
    for column in table.column_names:
        if column.endswith("_ns") and _is_time(column):
            seconds = (frame[column] - start_ns).astype("Float64") / 1e9
            frame[column.removesuffix("_ns") + "_s"] = seconds.astype("float64")
    return frame


def _is_time(column: str) -> bool:
    """Whether an `_ns` column is a moment, and not a duration such as srtt_ns."""
    return column.removesuffix("_ns").rpartition("_")[2] not in ("rtt", "srtt", "rto", "decision")
