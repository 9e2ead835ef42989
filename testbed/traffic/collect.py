"""Per-flow logs of a cell joined into one file per kind of log."""

from __future__ import annotations

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


def merge_logs(log_dir: Path) -> None:
    """``goodput-0.parquet``, ``goodput-1.parquet``... become ``goodput.parquet``, sorted by flow;
    the parts go.
    """
    for log in LOGS:
        parts = [log_dir / f"{log}-{number}.parquet" for number in range(1000)]
        found = [part for part in parts if part.exists()]
        if not found:
            continue
        whole = log_dir / f"{log}.parquet.tmp"
        pq.write_table(
            pa.concat_tables([pq.read_table(part) for part in found]), whole, compression="zstd"
        )
        whole.replace(log_dir / f"{log}.parquet")
        for part in found:
            part.unlink()
