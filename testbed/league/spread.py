"""The league's cells given to workers, and the rows that they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.controllers.server import shared_settings
from testbed.grid.measured import OnEnd, OnStart, spread_measured
from testbed.grid.work import Work
from testbed.league.grid import LeagueCell
from testbed.league.plan import League
from testbed.traffic.abr import asked_by


def run_league(
    league: League,
    cells: Sequence[LeagueCell],
    *,
    executor: str | None,
    ray_address: str | None,
    policy_server: str | None,
    workers: int | None,
    keep_runs: bool,
    virtual: bool,
    on_start: OnStart[LeagueCell],
    on_end: OnEnd[LeagueCell],
) -> None:
    """Run the cells, in order; the parameters are those of `testbed.grid.executors`. Raises
    UserError.
    """
    settings = league.grid.server
    work = Work(
        runs=[_alone(cell, settings) for cell in cells] if virtual else cells,
        module="testbed.league.worker",
        traces={trace.name: league.trace_path(trace.name) for trace in league.traces},
        server=None
        if virtual
        else shared_settings(
            [cell.controller for cell in cells],
            settings,
            [name for cell in cells for name in asked_by(cell.scenario)],
        ),
        policy_server=policy_server,
        log=league.out / "policy-server.log",
        kept=(league.out / "runs").resolve() if keep_runs else None,
        virtual=virtual,
    )

    spread_measured(
        work,
        executor=executor,
        ray_address=ray_address,
        workers=workers,
        on_start=on_start,
        on_end=on_end,
    )


def _alone(cell: LeagueCell, server: Mapping[str, Any]) -> LeagueCell:
    """The cell with what the policy server that it does not share would have been told."""
    if "policy" not in cell.scenario or not server:
        return cell
    policy = {**server, **cell.scenario["policy"]}
    return cell.model_copy(update={"scenario": {**cell.scenario, "policy": policy}})
