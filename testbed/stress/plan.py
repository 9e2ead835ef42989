"""A stress test in a folder: its cells, those that are done, and the report made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.grid.axes import make_axes
from testbed.grid.parts import Parts
from testbed.run.files import write_json
from testbed.stress.grid import StressCell, StressGrid, chosen_failures, expand

SCHEMA = 1


@dataclass(frozen=True)
class Stress:
    """Cells of a grid in a folder. virtual: in virtual time."""

    out: Path
    grid: StressGrid
    cells: Sequence[StressCell]
    virtual: bool = False

    @property
    def parts(self) -> Parts:
        """The rows of the cells that are done."""
        return Parts(self.out, SCHEMA)

    def write(self) -> None:
        """The folder, and the grid in it."""
        (self.out / "cells").mkdir(parents=True, exist_ok=True)
        grid = self.grid.model_dump(mode="json", by_alias=True)
        write_json(self.out / "grid.json", {"schema": SCHEMA, "grid": grid})

    def finish(self, cell: StressCell, measured: dict[str, Any]) -> None:
        """Keep a cell's row."""
        self.parts.write(cell, {**cell.about, **measured})

    def report(self, command: str) -> list[dict[str, Any]]:
        """Write stress.json, stress.md and stress.html of what is done; returns the judged rows.
        Raises UserError, OSError.
        """
        from analysis.stress import build  # late: not for the time of the traffic

        grid = self.grid.model_dump(mode="json", by_alias=True)
        return build(self.out, self.parts.read(self.cells), grid, command, len(self.cells))


def plan(
    data: dict[str, Any], source: str, only: Sequence[str], out: Path, *, virtual: bool = False
) -> Stress:
    """What a grid and ``--only`` mean in this folder. Creates nothing. Raises UserError."""
    grid = make_axes(StressGrid, data, source)
    sets = chosen_failures(only, virtual=virtual)
    return Stress(out, grid, expand(grid, sets, virtual=virtual), virtual)
