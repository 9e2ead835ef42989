"""Cells in a process of their own: ``python -m testbed.stress.worker RUN.json RUN_FOLDER
[--keep-run] [--virtual]``.

Runs them, reads their logs, and prints the measured halves of their rows as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from testbed.grid.worker import Way, main, run_cell
from testbed.stress.spread import ROWS, StressRun


def work(given: bytes, folder: Path, way: Way) -> str:
    """Run them in that folder; what was measured, as JSON. Raises UserError."""
    asked = StressRun.model_validate_json(given)

    def measured(folder: Path) -> list[dict[str, Any]]:
        from analysis.run import load_run  # late: pandas is not for the time of the traffic
        from analysis.stress import measured

        done = {cell.record.cc: cell for cell in load_run(folder).cells}
        return [
            measured(done[cell.controller], cell.about["from_s"], cell.about["to_s"])
            for cell in asked.cells
        ]

    rows = run_cell(asked.scenario, asked.id, folder, measured, way)
    return json.dumps({ROWS: rows}, allow_nan=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], work))
