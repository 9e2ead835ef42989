"""The league: from the table of cells to statistics, league.md and the self-contained
league.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from analysis.league import markdown, page
from analysis.league.compare import default_baseline, groups
from analysis.league.table import to_frame

__all__ = ["build", "write_text"]


def build(folder: Path, table: pa.Table, notes: Sequence[str], baseline: str | None = None) -> None:
    """Write league.parquet, league.md and league.html. Raises AnalysisError.

    notes: what was run, one sentence each. baseline: what schemes are paired with; default: bbr,
    else cubic.
    """
    frame = to_frame(table)
    if not len(frame):
        raise AnalysisError(f"{folder}: no cell of this league has finished")
    schemes = sorted(frame["scheme"].unique())
    chosen = baseline or default_baseline(schemes)
    if chosen not in schemes:
        raise AnalysisError(f"--baseline {chosen}: no cell has it; there are {', '.join(schemes)}")
    found = groups(frame, chosen)
    write_text(folder / "league.md", markdown.render(notes, found))
    write_text(folder / "league.html", page.render(notes, found))
    part = folder / "league.parquet.tmp"
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(folder / "league.parquet")
    except OSError as error:
        raise AnalysisError(f"{folder}: cannot be written: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Replace a file whole. Raises AnalysisError."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise AnalysisError(f"{path}: cannot be written: {error.strerror}") from error
