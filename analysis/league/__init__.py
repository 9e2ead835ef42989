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
from analysis.league.compare import compare, default_baseline, groups
from analysis.league.table import to_frame
from analysis.league.targets import to_reach

__all__ = ["build"]

_DUELS = (("policy:llm", "policy:gru"),)
"""Schemes whose difference is reported on its own: does the language model add to a small network?
"""


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
    duels = []
    for first, second in _DUELS:
        both = frame[frame["scheme"].isin([first, second])]
        if both["scheme"].nunique() == 2 and len(schemes) > 2:
            for traffic, cells in both.groupby("traffic"):
                duels.append(compare(cells, second, f"{first} against {second}", str(traffic)))
    results, families = to_reach(frame)
    _write(folder / "league.md", markdown.render(notes, found, duels, results, families))
    _write(folder / "league.html", page.render(notes, found, duels, results, families))
    part = folder / "league.parquet.tmp"
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(folder / "league.parquet")
    except OSError as error:
        raise AnalysisError(f"{folder}: cannot be written: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise AnalysisError(f"{path}: cannot be written: {error.strerror}") from error
