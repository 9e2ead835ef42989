"""A run folder in the formats of other tools."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.run import Cell, load_run


def _formats(ip: int) -> dict[str, tuple[Callable[[Cell, Path], None], str]]:
    from analysis.export import csv, pcapng, perfetto, qlog

    return {
        "perfetto": (perfetto.write, ".perfetto.json"),
        "qlog": (qlog.write, ".qlog"),
        "csv": (csv.write, ""),
        "pcapng": (partial(pcapng.write, ip=ip), ".pcapng"),
    }


FORMATS = ("perfetto", "qlog", "csv", "pcapng")


def export(folder: Path, form: str, out: Path, only: str | None = None) -> list[Path]:
    """Write every finished cell of a run, or the one named, to ``out``; returns the files (csv: the
    folders). Raises AnalysisError, OSError.
    """
    run = load_run(folder)
    write, suffix = _formats(6 if run.manifest.scenario.get("ip") == 6 else 4)[form]
    cells = run.cells
    chosen = [cell for cell in cells if only in (None, cell.folder.name)]
    if not chosen:
        names = ", ".join(cell.folder.name for cell in cells)
        raise AnalysisError(f"--cell {only}: no finished cell of that name; there are: {names}")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for cell in chosen:
        path = out / (cell.folder.name + suffix)
        write(cell, path)
        written.append(path)
    return written
