"""Cells that are done, a JSON file each, so that a grid goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testbed.errors import UserError
from testbed.grid.expand import GridRun
from testbed.run.files import write_json

R = TypeVar("R", bound=GridRun)


@dataclass(frozen=True)
class Parts:
    """Rows of done cells in ``out/cells``. schema: of the rows; others are refused."""

    out: Path
    schema: int

    def path(self, run: GridRun) -> Path:
        """The file whose existence says that a cell is done."""
        return self.out / "cells" / f"{run.id}.json"

    def left(self, runs: Iterable[R]) -> list[R]:
        """Those that are not done yet, in their order."""
        return [run for run in runs if not self.path(run).exists()]

    def write(self, run: GridRun, row: dict[str, Any]) -> None:
        """Keep a cell's row."""
        write_json(self.path(run), {"schema": self.schema, **row})

    def read(self, runs: Sequence[GridRun]) -> list[dict[str, Any]]:
        """Rows of the cells that are done. Raises UserError for a part that cannot be read."""
        found = []
        for run in runs:
            path = self.path(run)
            try:
                row = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path}: cannot be read: {error}; remove it to run the cell again"
                ) from error
            if not isinstance(row, dict) or row.pop("schema", None) != self.schema:
                raise UserError(f"{path}: of another version; remove it to run the cell again")
            found.append(row)
        return found
