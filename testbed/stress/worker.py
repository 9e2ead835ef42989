"""One cell in a process of its own: ``python -m testbed.stress.worker CELL.json RUN_FOLDER
[--keep-run] [--virtual]``.

Runs it, reads its logs, and prints the measured half of its row as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from testbed.grid.worker import Way, main, run_cell
from testbed.stress.grid import StressCell


def work(given: bytes, folder: Path, way: Way) -> str:
    """Run it in that folder; what was measured, as JSON. Raises UserError."""
    cell = StressCell.model_validate_json(given)

    def measured(folder: Path) -> dict[str, Any]:
        from analysis.run import load_run  # late: pandas is not for the time of the traffic
        from analysis.stress import measured

        return measured(load_run(folder), cell.about["from_s"], cell.about["to_s"])

    row = run_cell(cell.scenario, cell.id, folder, measured, way)
    return json.dumps(row, allow_nan=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], work))
