"""One scenario in a process of its own: ``python -m testbed.collect.worker RUN.json OUT
[--keep-run] [--virtual]``.

Runs it with all its controllers, writes its part of the dataset, and prints the number of rows. The
part is written last and whole: where it exists, the scenario is done.
"""

from __future__ import annotations

import sys
from pathlib import Path

from policy.tasks.congestion.labels import Reward, Target
from policy.tasks.congestion.schema import write_part
from testbed.collect.experience import run_columns
from testbed.collect.grid import CollectRun
from testbed.grid.worker import Way, main, run_cell


def part_path(out: Path, run_id: str) -> Path:
    """The file whose existence says that a run is done."""
    return out / f"{run_id}.parquet"


def work(given: bytes, out: Path, way: Way) -> str:
    """Run it and write its part; returns the number of rows. Raises UserError."""
    run = CollectRun.model_validate_json(given)

    def write(folder: Path) -> int:
        about = {
            "source_trace": run.source_trace,
            "family": run.family,
            "split": run.split,
            "run": run.id,
        }
        columns = run_columns(folder, about, Target(), Reward())
        write_part(out, run.id, columns)
        return len(columns["window"])

    return str(run_cell(run.scenario, run.id, out / "runs" / run.id, write, way))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], work))
