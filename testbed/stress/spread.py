"""The cells of a stress test given to workers."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.controllers.server import shared_settings
from testbed.grid.measured import OnEnd, OnStart, spread_measured
from testbed.grid.work import Work
from testbed.stress.grid import StressCell
from testbed.stress.plan import Stress


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
        runs=cells,
        module="testbed.stress.worker",
        traces={},
        server=shared_settings(sharing, stress.grid.policy) if sharing else None,
        policy_server=None,
        log=stress.out / "policy-server.log",
        kept=(stress.out / "runs").resolve() if keep_runs else None,
        virtual=stress.virtual,
    )

    spread_measured(
        work,
        executor="processes",
        ray_address=None,
        workers=workers,
        on_start=on_start,
        on_end=on_end,
    )
