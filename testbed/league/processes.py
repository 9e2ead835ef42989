"""The league's cells as processes of this machine, a few at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from policy.python import python_command
from testbed.collect.slots import run_in_slots
from testbed.league.grid import Job
from testbed.league.plan import League
from testbed.league.server import server_settings, start_server
from testbed.system.scope import Scope

CORES_PER_SLOT = 2
"""A cell's link, traffic and agent keep about this many busy."""
OnStart = Callable[[Job], None]
OnEnd = Callable[[Job, dict[str, Any] | None, str | None], None]
"""Called with the job and what was measured, or with what went wrong."""


def slot_argv(job: Job, folder: Path, run: Path, *, keep_run: bool) -> list[str]:
    """The slot's command line; its input is written into the folder."""
    path = folder / "job.json"
    path.write_text(job.model_dump_json(), encoding="utf-8")
    argv = python_command("testbed.league.slot", path, run)
    return [*argv, "--keep-run"] if keep_run else argv


def answer_of(line: str) -> tuple[dict[str, Any] | None, str | None]:
    """What a slot measured, by the line that it printed; or what is wrong with the line."""
    try:
        return dict(json.loads(line)), None
    except (ValueError, TypeError):
        return None, f"the slot printed {line[:80]!r} instead of its row"


def run_here(
    league: League,
    jobs: Sequence[Job],
    *,
    slots: int,
    policy_server: str | None,
    keep_runs: bool,
    on_start: OnStart,
    on_end: OnEnd,
) -> None:
    """Run the jobs, at most `slots` at a time. A cell that fails does not stop the others, a dead
    policy server does.

    policy_server: address of a running one, instead of our own.
    """
    with Scope() as scope:
        server, address = None, policy_server
        settings = server_settings([job.scheme for job in jobs], league.grid.server)
        if settings is not None and address is None:
            server, address = start_server(scope, settings, league.out / "policy-server.log")

        def command(job: Job, folder: Path) -> list[str]:
            if server is not None:
                server.check()
            run = league.out / "runs" / job.id if keep_runs else folder / "run"
            return slot_argv(job.served_by(address), folder, run, keep_run=keep_runs)

        def ended(job: Job, line: str, error: str | None) -> None:
            if error is not None:
                on_end(job, None, error)
            else:
                on_end(job, *answer_of(line))

        run_in_slots(scope, jobs, command, slots=slots, on_start=on_start, on_end=ended)
