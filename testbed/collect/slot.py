"""One scenario in a process of its own: ``python -m testbed.collect.slot JOB.json OUT
[--keep-runs]``.

Runs it with all its controllers, writes its part of the dataset, and prints the number of rows. The
part is written last and whole: where it exists, the scenario is done.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from policy.tasks.congestion.labels import Reward, Target
from policy.tasks.congestion.schema import write_part
from testbed.collect.experience import run_columns
from testbed.collect.grid import Job
from testbed.errors import UserError
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import parse_scenario
from testbed.system.scope import new_run_id


def part_path(out: Path, job_id: str) -> Path:
    """The file whose existence says that a job is done."""
    return out / f"{job_id}.parquet"


def run_job(job: Job, out: Path, *, keep_runs: bool) -> int:
    """Run a job and write its part; returns the number of rows. Raises UserError, also if any cell
    failed.
    """
    folder = out / "runs" / job.id
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was interrupted
    prepared = resolve(parse_scenario(job.scenario, job.id))
    run_id = new_run_id()
    try:
        failures = run_cells(prepared, run_id, new_run_folder(folder, run_id), quiet=True)
        if failures:
            raise UserError(f"{len(failures)} cells failed; the first: {failures[0]}")
        about = {
            "source_trace": job.source_trace,
            "family": job.family,
            "split": job.split,
            "run": job.id,
        }
        columns = run_columns(folder, about, Target(), Reward())
        write_part(out, job.id, columns)
    finally:
        if not keep_runs:
            shutil.rmtree(folder, ignore_errors=True)
    return len(columns["window"])


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    job = Job.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        rows = run_job(job, Path(arguments[1]), keep_runs="--keep-runs" in arguments[2:])
    except KeyboardInterrupt:
        return 130
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(rows, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
