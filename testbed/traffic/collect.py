"""Per-flow logs of a cell joined into one file per kind of log."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LOGS = (
    "goodput",
    "tcpinfo",
    "frames",
    "chunks",
    "sessions",
    "requests",
    "transfers",
    "jobs",
    "tasks",
    "placements",
)
_PART = re.compile(r"([a-z]+)-(\d+)\.parquet")  # of a flow


def merge_logs(log_dir: Path) -> None:
    """``goodput-0.parquet``, ``goodput-1.parquet``... become ``goodput.parquet``, sorted by flow;
    the parts go.
    """
    numbered = sorted(
        (int(match[2]), match[1], path)
        for path in log_dir.iterdir()
        if (match := _PART.fullmatch(path.name))
    )
    for log in LOGS:
        found = [path for _, name, path in numbered if name == log]
        if not found:
            continue
        whole = log_dir / f"{log}.parquet.tmp"
        pq.write_table(
            pa.concat_tables([pq.ParquetFile(part).read() for part in found]),
            whole,
            compression="zstd",
        )
        whole.replace(log_dir / f"{log}.parquet")
        for part in found:
            part.unlink()
