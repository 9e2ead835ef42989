"""``tbtest run --virtual``: the cells in a guest, the report outside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click

from analysis.files import CELLS, MANIFEST, TRACES, read_manifest, to_json
from testbed.controllers.registry import parse
from testbed.errors import UserError
from testbed.run.files import new_run_folder, write_json
from testbed.scenario import Scenario
from testbed.system.scope import Scope, new_run_id
from testbed.system.state import STATE_DIR
from testbed.virtual import guest, kernel
from testbed.virtual.job import JOB, RESULTS, Job, Outcome


def execute(
    scenario: Scenario, *, out: Path | None, as_json: bool, kernel_source: Path | None
) -> Path:
    """Run every cell in virtual time, build the report, print the result; returns the run folder.
    Needs no root. Raises UserError as `testbed.run.runner.execute` does.
    """
    check(scenario)

    def say(line: str) -> None:
        if not as_json:
            click.echo(line, err=True)

    found = kernel.ready(kernel_source, say)
    run_id = new_run_id()
    folder = new_run_folder(out, run_id)
    outcome = run_in_guest(found, scenario, run_id, folder, say)
    if outcome.without_policy:
        click.echo(f"without policy: {outcome.without_policy}", err=True)
    failures = outcome.failures
    if failures and len(failures) == outcome.cells:
        raise UserError(f"every cell failed; the first: {failures[0]}; logs: {folder}")
    from testbed.run.show import build_and_show  # late: as in a live run

    build_and_show(folder, as_json)
    if failures:
        raise UserError(
            f"{len(failures)} of {outcome.cells} cells failed; the first: {failures[0]}"
        )
    return folder


def run_in_guest(
    found: kernel.Kernel,
    scenario: Scenario,
    run_id: str,
    folder: Path,
    say: Callable[[str], None],
) -> Outcome:
    """Run the scenario's cells in one guest, into the run folder. Raises UserError; what the guest
    says of its own folder is said of this one.
    """
    flows = scenario.flows * (1 + scenario.bidirectional) + len(scenario.cross_traffic)
    try:
        with Scope(run_id, state_dir=state_dir()) as scope:
            job = scope.tmp / "job"
            job.mkdir()
            asked = Job(scenario=scenario, run_id=run_id, quiet=False)
            (job / JOB).write_text(asked.model_dump_json(by_alias=True, exclude_unset=True))
            outcome = guest.run(
                scope,
                found,
                job=job,
                results=folder,
                flows=flows,
                policies=any(parse(name).kind == "policy" for name in scenario.cc),
                seed=scenario.seed,
                say=say,
            )
    except BaseException as error:
        _end_manifest(folder, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    named = outcome.model_copy(
        update={"failures": tuple(_outside(text, folder) for text in outcome.failures)}
    )
    if outcome.error is not None:
        _remove_empty(folder)
        raise UserError(_outside(outcome.error, folder))
    return named


def check(scenario: Scenario) -> None:
    """Raises UserError for what a guest cannot reach."""
    if scenario.policy_server is not None:
        raise UserError(
            f"policy_server {scenario.policy_server}: a guest reaches no server outside; leave it "
            "out, and the run starts one inside"
        )
    if scenario.ip == 6:
        raise UserError(
            "ip: 6: the kernel for virtual time is built without IPv6, to be ready sooner; leave "
            "it out, or leave out --virtual"
        )
    for number, failure in enumerate(scenario.failures):
        if failure.kind in ("server", "worker"):
            raise UserError(
                f"failures.{number}.kind: {failure.kind}: in virtual time policies decide inside "
                "the agent, so there is no process to kill; leave it out, or leave out --virtual"
            )


def state_dir() -> Path:
    """Root's state files, which `tbtest clean` reads; without root a folder of the user's own."""
    return STATE_DIR if os.geteuid() == 0 else kernel.cache().with_name("state")


def _outside(text: str, folder: Path) -> str:
    return text.replace(str(RESULTS), str(folder))


def _end_manifest(folder: Path, status: str) -> None:
    """The guest is gone and can no longer say how its run ended."""
    if not (folder / MANIFEST).exists():
        _remove_empty(folder)
        return
    record = read_manifest(folder)
    cells = [
        cell.model_copy(update={"status": status}) if cell.status == "running" else cell
        for cell in record.cells
    ]
    changed = record.model_copy(update={"status": status, "cells": cells})
    write_json(folder / MANIFEST, to_json(changed))


def _remove_empty(folder: Path) -> None:
    """Remove a run folder in which no run has begun."""
    if not (folder / MANIFEST).exists():
        for name in (CELLS, TRACES):
            shutil.rmtree(folder / name, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
