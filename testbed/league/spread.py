"""The league's cells given to workers, and the rows that they answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from testbed.controllers.server import shared_settings
from testbed.grid.executors import Work, spread
from testbed.grid.expand import GridRun
from testbed.league.grid import LeagueCell
from testbed.league.plan import League
from testbed.traffic.abr import asked_by

OnStart = Callable[[LeagueCell], None]
OnEnd = Callable[[LeagueCell, dict[str, Any] | None, str | None], None]
"""Called with the cell and what was measured, or with what went wrong."""


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
    on_start: OnStart,
    on_end: OnEnd,
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

    def ended(run: GridRun, line: str, error: str | None) -> None:
        cell = cast(LeagueCell, run)
        if error is not None:
            on_end(cell, None, error)
        else:
            on_end(cell, *answer_of(line))

    spread(
        work,
        executor=executor,
        ray_address=ray_address,
        workers=workers,
        on_start=lambda run: on_start(cast(LeagueCell, run)),
        on_end=ended,
    )


def _alone(cell: LeagueCell, server: Mapping[str, Any]) -> LeagueCell:
    """The cell with what the policy server that it does not share would have been told."""
    if "policy" not in cell.scenario or not server:
        return cell
    policy = {**server, **cell.scenario["policy"]}
    return cell.model_copy(update={"scenario": {**cell.scenario, "policy": policy}})


def answer_of(line: str) -> tuple[dict[str, Any] | None, str | None]:
    """What a worker measured, by the line that it printed; or what is wrong with the line."""
    try:
        return dict(json.loads(line)), None
    except (ValueError, TypeError):
        return None, f"the worker printed {line[:80]!r} instead of its row"
