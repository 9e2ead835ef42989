"""What a worker process does: one run of a grid, measured, its folder gone unless it is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from policy.python import python_command
from testbed.errors import UserError
from testbed.grid.expand import GridRun
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import parse_scenario
from testbed.system.scope import new_run_id

KEEP = "--keep-run"
T = TypeVar("T")


def worker_argv(module: str, run: GridRun, folder: Path, out: Path, *, keep_run: bool) -> list[str]:
    """The command line of a worker, `module RUN.json OUT`; its input is written into the folder."""
    path = folder / "run.json"
    path.write_text(run.model_dump_json(), encoding="utf-8")
    argv = python_command(module, path, out)
    return [*argv, KEEP] if keep_run else argv


def run_cell(
    scenario: Mapping[str, Any],
    name: str,
    folder: Path,
    measure: Callable[[Path], T],
    *,
    keep_run: bool,
) -> T:
    """Run a scenario in a new folder; returns what `measure` makes of the folder. Raises UserError,
    also if any cell failed.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was interrupted
    prepared = resolve(parse_scenario(dict(scenario), name))
    run_id = new_run_id()
    try:
        failures = run_cells(prepared, run_id, new_run_folder(folder, run_id), quiet=True)
        if len(failures) == 1:
            raise UserError(failures[0])
        if failures:
            raise UserError(f"{len(failures)} cells failed; the first: {failures[0]}")
        return measure(folder)
    finally:
        if not keep_run:
            shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str], work: Callable[[bytes, Path, bool], str]) -> int:
    """Do what `RUN.json OUT [--keep-run]` asks for and print the line that `work` returns; the exit
    status.

    work: called with the content of RUN.json, OUT and whether to keep the run's folder.
    """
    try:
        line = work(Path(arguments[0]).read_bytes(), Path(arguments[1]), KEEP in arguments[2:])
    except KeyboardInterrupt:
        return 130
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(line, flush=True)
    return 0
