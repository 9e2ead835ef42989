"""Every log of a cell as CSV, all columns as docs/reference/formats.md names them."""

from __future__ import annotations

from pathlib import Path

from pyarrow.csv import write_csv

from analysis.frames import log_names, read_table
from analysis.run import Cell


def write(cell: Cell, path: Path) -> None:
    """``path`` becomes a folder with a file per log. Raises AnalysisError, OSError."""
    path.mkdir(exist_ok=True)
    for name in log_names(cell.folder):
        write_csv(read_table(cell.folder, name), path / f"{name}.csv")
