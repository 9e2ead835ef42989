"""Logs of a traffic process: fixed-size records on disk while it runs, Parquet when it ends.

Memory stays bounded however long the flow runs, and pyarrow is imported only after the traffic.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

NULL = -1  # in an integer column that is named nullable


class RecordLog:
    """Appends records of one shape; ``write_parquet`` turns them into a file."""

    def __init__(self, path: Path, columns: dict[str, str], nullable: tuple[str, ...] = ()) -> None:
        """``columns``: name -> struct code (i, q, d or ?) of the values; ``path``: of the Parquet
        file to be.
        """
        self._path = path
        self._columns = columns
        self._nullable = nullable
        self._pack = struct.Struct("<" + "".join(columns.values())).pack
        self._raw_path = path.with_suffix(".raw")
        self._raw = self._raw_path.open("wb")

    def append(self, *values: Any) -> None:
        """One record, in the order of the columns. Raises OSError when the disk is full."""
        self._raw.write(self._pack(*values))

    def write_parquet(self) -> None:
        """Write the Parquet file whole and remove the raw one."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._raw.close()
        numpy_codes = {"i": "<i4", "q": "<i8", "d": "<f8", "?": "?"}
        dtype = np.dtype([(name, numpy_codes[code]) for name, code in self._columns.items()])
        records = np.fromfile(self._raw_path, dtype=dtype)
        arrays = {}
        for name, code in self._columns.items():
            values = np.ascontiguousarray(records[name])
            mask = values == NULL if name in self._nullable else None
            if code == "d":
                mask = np.isnan(values) if name in self._nullable else None
            kind = pa.int16() if name == "flow" else None
            arrays[name] = pa.array(values, type=kind, mask=mask)
        part = self._path.with_suffix(".part")
        pq.write_table(pa.table(arrays), part)
        part.replace(self._path)
        self._raw_path.unlink()
