"""Where the runs of a grid go: to Ray, on this machine or a cluster, or to processes of this
machine.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from testbed.controllers.server import start_server
from testbed.errors import UserError
from testbed.grid.expand import GridRun
from testbed.grid.pool import OnEnd, run_processes
from testbed.grid.work import OnStart, Work, served_by
from testbed.grid.worker import worker_argv
from testbed.system.scope import Scope


def ray_installed() -> bool:
    """Whether Ray can be imported here."""
    return importlib.util.find_spec("ray") is not None


def chosen_executor(executor: str | None, ray_address: str | None) -> str:
    """`ray` or `processes`. Raises UserError where Ray is asked for and absent, or an address is
    for nobody.
    """
    if executor == "processes":
        if ray_address is not None:
            raise UserError("--ray-address is for --executor ray; leave one of the two out")
        return executor
    if ray_installed():
        return "ray"
    if executor == "ray" or ray_address is not None:
        raise UserError(
            "Ray is not installed; run `pip install 'tbtest[league]'` (or `scripts/setup.sh policy "
            "league dev`), or use --executor processes, which needs nothing and spreads the cells "
            "over this machine"
        )
    return "processes"


def spread(
    work: Work,
    *,
    executor: str | None,
    ray_address: str | None,
    workers: int | None,
    on_start: OnStart,
    on_end: OnEnd[GridRun],
) -> None:
    """Do the work, at most `workers` runs at a time (None: as many as the cores allow). Raises
    UserError.
    """
    here = workers or max(1, (os.cpu_count() or 1) // work.cores_per_worker)
    if chosen_executor(executor, ray_address) == "processes":
        _spread_here(work, here, on_start, on_end)
        return
    from testbed.grid.ray import spread_on_ray

    spread_on_ray(work, ray_address, workers if ray_address else here, on_start, on_end)


def _spread_here(work: Work, workers: int, on_start: OnStart, on_end: OnEnd[GridRun]) -> None:
    """As processes. A run that fails does not stop the others, a dead policy server does."""
    with Scope() as scope:
        server, address = None, work.policy_server
        if work.server is not None and address is None:
            server, address = start_server(scope, work.server, work.log)

        def command(run: GridRun, folder: Path) -> list[str]:
            if server is not None:
                server.check()
            out = work.kept / run.id if work.kept else folder / "run"
            served = served_by(run, address)
            return worker_argv(work.module, served, folder, out, work.way)

        run_processes(scope, work.runs, command, workers=workers, on_start=on_start, on_end=on_end)
