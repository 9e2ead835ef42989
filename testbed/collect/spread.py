"""The runs of a collection given to workers, and the rows that they wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.collect.grid import CollectRun
from testbed.grid.pool import run_processes
from testbed.grid.worker import Way, worker_argv
from testbed.system.scope import Scope


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its rows, or what went wrong."""

    run: CollectRun
    rows: int = 0
    error: str | None = None


def run_collection(
    scope: Scope,
    runs: Sequence[CollectRun],
    out: Path,
    *,
    workers: int,
    way: Way,
    on_start: Callable[[CollectRun], None],
    on_end: Callable[[Outcome], None],
) -> None:
    """Run all of a collection, at most `workers` at a time. One that fails does not stop the
    others.
    """

    def command(run: CollectRun, folder: Path) -> list[str]:
        return worker_argv("testbed.collect.worker", run, folder, out, way)

    def ended(run: CollectRun, line: str, error: str | None) -> None:
        if error is None and not line.isdecimal():
            error = f"{run.id}: it printed {line!r} instead of its number of rows"
        on_end(Outcome(run, error=error) if error is not None else Outcome(run, rows=int(line)))

    run_processes(scope, runs, command, workers=workers, on_start=on_start, on_end=ended)
