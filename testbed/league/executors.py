"""Where the cells of a league run: on Ray, on this machine or a cluster, or as processes of this
machine.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence

from testbed.errors import UserError
from testbed.league.grid import Job
from testbed.league.plan import League
from testbed.league.processes import CORES_PER_SLOT, OnEnd, OnStart, run_here


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
            "league dev`), or "
            "use --executor processes, which needs nothing and spreads the cells over this machine"
        )
    return "processes"


def run_cells(
    league: League,
    jobs: Sequence[Job],
    *,
    executor: str | None,
    ray_address: str | None,
    policy_server: str | None,
    slots: int | None,
    keep_runs: bool,
    on_start: OnStart,
    on_end: OnEnd,
) -> None:
    """Run the jobs, in order, at most `slots` at a time (None: as many as the cores allow). Raises
    UserError.
    """
    local_slots = slots or max(1, (os.cpu_count() or CORES_PER_SLOT) // CORES_PER_SLOT)
    if chosen_executor(executor, ray_address) == "processes":
        run_here(
            league,
            jobs,
            slots=local_slots,
            policy_server=policy_server,
            keep_runs=keep_runs,
            on_start=on_start,
            on_end=on_end,
        )
        return
    from testbed.league.on_ray import run_on_ray

    run_on_ray(
        league,
        jobs,
        address=ray_address,
        slots=slots if ray_address else local_slots,
        policy_server=policy_server,
        keep_runs=keep_runs,
        on_start=on_start,
        on_end=on_end,
    )
