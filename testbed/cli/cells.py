"""Progress over the cells of a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from testbed.grid.expand import GridRun

if TYPE_CHECKING:
    from testbed.grid.measured import OnEnd, OnStart

R = TypeVar("R", bound=GridRun)


def with_progress(
    left: Sequence[R],
    total: int,
    describe: Callable[[R], str],
    keep: Callable[[R, dict[str, Any]], None],
    run: Callable[[OnStart[R], OnEnd[R]], None],
    *,
    quiet: bool,
) -> list[str]:
    """Run what is left of ``total`` cells under a bar on standard error; returns what went wrong.

    keep: called with each cell and what was measured; run: does the work and calls the two
    functions that it is given when a cell starts and ends.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    failures: list[str] = []
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task("cells", total=total, completed=total - len(left), failed=0)

        def started(cell: R) -> None:
            progress.update(task, description=describe(cell))

        def ended(cell: R, measured: dict[str, Any] | None, error: str | None) -> None:
            if measured is not None:
                keep(cell, measured)
                if not console.is_terminal:
                    console.print(f"{cell.id}: done", highlight=False, markup=False)
            else:
                failures.append(f"{cell.id}: {error}")
                console.print(f"{cell.id} failed: {error}", highlight=False, markup=False)
            progress.update(task, advance=1, failed=len(failures))

        run(started, ended)
    return failures
