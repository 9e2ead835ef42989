"""What a worker process does: one run of a grid, measured, its folder gone unless it is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from policy.python import python_command
from testbed.errors import UserError
from testbed.grid.expand import GridRun
from testbed.run.files import new_run_folder
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import Scenario, parse_scenario
from testbed.system.scope import new_run_id

_KEEP, _VIRTUAL = "--keep-run", "--virtual"
T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """How a worker does its run. keep_run: the run's folder stays; virtual: in virtual time."""

    keep_run: bool = False
    virtual: bool = False

    def flags(self) -> list[str]:
        """As flags of the worker's command line."""
        return [_KEEP] * self.keep_run + [_VIRTUAL] * self.virtual

    @classmethod
    def of(cls, flags: Sequence[str]) -> Way:
        """What the flags say."""
        return cls(keep_run=_KEEP in flags, virtual=_VIRTUAL in flags)


def worker_argv(module: str, run: GridRun, folder: Path, out: Path, way: Way) -> list[str]:
    """The command line of a worker, `module RUN.json OUT`; its input is written into the folder."""
    path = folder / "run.json"
    path.write_text(run.model_dump_json(), encoding="utf-8")
    return [*python_command(module, path, out), *way.flags()]


def run_cell(
    scenario: Mapping[str, Any], name: str, folder: Path, measure: Callable[[Path], T], way: Way
) -> T:
    """Run a scenario in a new folder; returns what `measure` makes of the folder. Raises UserError,
    also if any cell failed.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was interrupted
    run = _run_virtually if way.virtual else _run_live
    try:
        failures = run(parse_scenario(dict(scenario), name), folder)
        if len(failures) == 1:
            raise UserError(failures[0])
        if failures:
            raise UserError(f"{len(failures)} cells failed; the first: {failures[0]}")
        return measure(folder)
    finally:
        if not way.keep_run:
            shutil.rmtree(folder, ignore_errors=True)


def _run_live(scenario: Scenario, folder: Path) -> Sequence[str]:
    run_id = new_run_id()
    return run_cells(resolve(scenario), run_id, new_run_folder(folder, run_id), quiet=True)


def _run_virtually(scenario: Scenario, folder: Path) -> Sequence[str]:
    from testbed.virtual import kernel  # late: live runs need nothing of it
    from testbed.virtual.run import check, run_in_guest

    check(scenario)
    found, run_id = kernel.ready(None, _quietly), new_run_id()
    made = new_run_folder(folder, run_id)
    return run_in_guest(found, scenario, run_id, made, _quietly).failures


def _quietly(line: str) -> None:
    """A worker prints its result and nothing else."""


def main(arguments: list[str], work: Callable[[bytes, Path, Way], str]) -> int:
    """Do what `RUN.json OUT [--keep-run] [--virtual]` asks for and print the line that `work`
    returns; the exit status.

    work: called with the content of RUN.json, OUT and how to run.
    """
    try:
        line = work(Path(arguments[0]).read_bytes(), Path(arguments[1]), Way.of(arguments[2:]))
    except KeyboardInterrupt:
        return 130
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(line, flush=True)
    return 0
