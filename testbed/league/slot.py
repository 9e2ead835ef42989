"""One cell in a process of its own: ``python -m testbed.league.slot JOB.json RUN_FOLDER
[--keep-run]``.

Runs it, reads its logs, and prints the measured half of its row as one line of JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from testbed.errors import UserError
from testbed.league.grid import Job
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import parse_scenario
from testbed.system.scope import new_run_id


def run_cell(job: Job, folder: Path, *, keep_run: bool) -> dict[str, Any]:
    """Run a cell in a new folder; returns what was measured. Raises UserError."""
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was interrupted
    prepared = resolve(parse_scenario(job.scenario, job.id))
    run_id = new_run_id()
    try:
        failures = run_cells(prepared, run_id, new_run_folder(folder, run_id), quiet=True)
        if failures:
            raise UserError(failures[0])
        from analysis.league.row import measured  # late: pandas is not for the time of the traffic
        from analysis.run import load_run

        return measured(load_run(folder))
    finally:
        if not keep_run:
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    job = Job.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        row = run_cell(job, Path(arguments[1]), keep_run="--keep-run" in arguments[2:])
    except KeyboardInterrupt:
        return 130
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(row, allow_nan=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
