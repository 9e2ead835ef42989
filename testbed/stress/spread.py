"""The cells of a stress test given to workers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from testbed.controllers.server import shared_settings
from testbed.grid.expand import GridRun
from testbed.grid.measured import OnEnd, OnStart, spread_measured
from testbed.grid.work import Work
from testbed.stress.grid import StressCell
from testbed.stress.plan import Stress

ROWS = "rows"
"""Key of a worker's answer: what was measured of each cell, in order."""


class StressRun(GridRun):
    """Cells that one worker runs, one after the other: same failures and seed, each under another
    controller.
    """

    cells: tuple[StressCell, ...]

    @property
    def trace(self) -> str:
        return ""

    @property
    def shares_server(self) -> bool:
        return all(cell.shares_server for cell in self.cells)


def together(cells: Sequence[StressCell], *, virtual: bool) -> list[StressRun]:
    """The runs of these cells: one each; virtual: those of one set and seed have one guest, whose
    start takes longer than a cell in it.
    """

    def kind(cell: StressCell) -> Any:
        return (cell.about["failures"], cell.about["seed"]) if virtual else cell.id

    return [_run(tuple(group)) for _, group in groupby(cells, kind)]


def _run(cells: tuple[StressCell, ...]) -> StressRun:
    policy = {key: value for cell in cells for key, value in cell.scenario["policy"].items()}
    names = [cell.controller for cell in cells]
    scenario = {**cells[0].scenario, "cc": names, "policy": policy}
    return StressRun(id=cells[0].id, scenario=scenario, cells=cells)


def run_stress(
    stress: Stress,
    cells: Sequence[StressCell],
    *,
    workers: int | None,
    keep_runs: bool,
    on_start: OnStart[StressCell],
    on_end: OnEnd[StressCell],
) -> None:
    """Run the cells, in order, as processes of this machine. workers: how many at a time, None: as
    many as the cores are for. Raises UserError.
    """
    shared = [] if stress.virtual else cells
    sharing = [cell.controller for cell in shared if cell.shares_server]
    work = Work(
        runs=together(cells, virtual=stress.virtual),
        module="testbed.stress.worker",
        traces={},
        server=shared_settings(sharing, stress.grid.policy) if sharing else None,
        policy_server=None,
        log=stress.out / "policy-server.log",
        kept=(stress.out / "runs").resolve() if keep_runs else None,
        virtual=stress.virtual,
    )

    def ended(run: StressRun, measured: dict[str, Any] | None, wrong: str | None) -> None:
        rows = measured[ROWS] if measured is not None else [None] * len(run.cells)
        for cell, row in zip(run.cells, rows, strict=True):
            on_end(cell, row, wrong)

    def started(run: StressRun) -> None:
        on_start(run.cells[0])

    spread_measured(
        work,
        executor="processes",
        ray_address=None,
        workers=workers,
        on_start=started,
        on_end=ended,
    )
