"""Several leagues as one: tables of other machines, draws or days in one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed.errors import UserError
from testbed.league.plan import INTERVALS, cautions


def pool(leagues: Sequence[Path], out: Path, baseline: str | None) -> int:
    """Write league.parquet, league.md and league.html of these leagues' tables; returns the number
    of cells.

    leagues: tables, or folders with a league.parquet. Raises UserError, AnalysisError.
    """
    from analysis.league import build  # late: pandas and plotly take a second
    from analysis.league.table import pooled, read_table

    paths = [path / "league.parquet" if path.is_dir() else path for path in leagues]
    real = [path.resolve() for path in paths]
    if twice := [str(path) for path, each in zip(paths, real, strict=True) if real.count(each) > 1]:
        raise UserError(f"--pool {twice[0]}: named twice; its cells would count twice")
    if out.resolve() in {each.parent for each in real}:
        raise UserError(
            f"--out {out}: its own league.parquet would be overwritten; name another folder"
        )
    table = pooled([read_table(path) for path in paths])
    rows = table.to_pylist()
    notes = [
        f"{len(rows)} cells of {len(paths)} leagues: {', '.join(str(path) for path in paths)}.",
        f"{INTERVALS} A scenario that several leagues ran is a pair in each of them.",
        *cautions(rows),
    ]
    out.mkdir(parents=True, exist_ok=True)
    build(out, table, notes, baseline)
    return len(rows)
