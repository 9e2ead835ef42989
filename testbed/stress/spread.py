"""The cells of a stress test given to workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from testbed.controllers.server import shared_settings
from testbed.grid.executors import Work, spread
from testbed.grid.expand import GridRun
from testbed.league.spread import answer_of
from testbed.stress.grid import StressCell
from testbed.stress.plan import Stress

OnStart = Callable[[StressCell], None]
OnEnd = Callable[[StressCell, dict[str, Any] | None, str | None], None]


def run_stress(
    stress: Stress,
    cells: Sequence[StressCell],
    *,
    workers: int,
    keep_runs: bool,
    on_start: OnStart,
    on_end: OnEnd,
) -> None:
    """Run the cells, in order, as processes of this machine. Raises UserError."""
    sharing = [cell.controller for cell in cells if cell.shares_server]
    work = Work(
        runs=cells,
        module="testbed.stress.worker",
        traces={},
        server=shared_settings(sharing, stress.grid.policy) if sharing else None,
        policy_server=None,
        log=stress.out / "policy-server.log",
        kept=(stress.out / "runs").resolve() if keep_runs else None,
    )

    def ended(run: GridRun, line: str, error: str | None) -> None:
        cell = cast(StressCell, run)
        if error is not None:
            on_end(cell, None, error)
        else:
            on_end(cell, *answer_of(line))

    spread(
        work,
        executor="processes",
        ray_address=None,
        workers=workers,
        on_start=lambda run: on_start(cast(StressCell, run)),
        on_end=ended,
    )
