"""One cell in a process of its own: ``python -m testbed.league.worker CELL.json RUN_FOLDER
[--keep-run] [--virtual]``.

Runs it, reads its logs, and prints the measured half of its row as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from testbed.grid.worker import Way, main, run_cell
from testbed.league.grid import LeagueCell


def work(given: bytes, folder: Path, way: Way) -> str:
    """Run it in that folder; what was measured, as JSON. Raises UserError."""
    cell = LeagueCell.model_validate_json(given)
    measured = run_cell(cell.scenario, cell.id, folder, _measured, way)
    return json.dumps(measured, allow_nan=False)


def _measured(folder: Path) -> dict[str, Any]:
    from analysis.league.row import measured  # late: pandas is not for the time of the traffic
    from analysis.run import load_run

    return measured(load_run(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], work))
