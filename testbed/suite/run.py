"""Running a suite: a run folder for each case, then the page over all that are there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.files import MANIFEST
from testbed.errors import UserError
from testbed.run.default import as_this_machine_can
from testbed.run.files import new_run_folder
from testbed.run.prepared import require_root, resolve
from testbed.run.runner import run_cells
from testbed.scenario import Scenario
from testbed.suite.definition import Case, Suite, scenario_of
from testbed.suite.verdict import CaseResult, is_done, result_of
from testbed.system.scope import new_run_id

Run = Callable[[Scenario, Path], Sequence[str]]
"""Runs a scenario into a folder that is not there yet; returns what went wrong."""


def run_suite(
    suite: Suite,
    cases: Sequence[Case],
    cc: tuple[str, ...] | None,
    repeats: int,
    scale: float,
    out: Path,
    tell: Callable[[str], None],
    *,
    virtual: bool = False,
) -> tuple[list[CaseResult], dict[str, str]]:
    """Run those of ``cases`` that ``out`` does not hold yet; returns the results of every case
    there, and why others failed. ``virtual``: in a guest, in virtual time.

    A case that fails does not stop the next. Raises UserError for what is wrong with all of them.
    """
    run = _in_virtual_time(tell) if virtual else _live(tell)
    scenarios = {case.name: scenario_of(case, cc, repeats, scale) for case in cases}
    failed: dict[str, str] = {}
    for case in cases:
        folder = out / case.name
        if is_done(folder):
            tell(f"{case.name}: {folder} is there already")
            continue
        tell(f"{case.name}: {case.about.title}")
        try:
            if (folder / MANIFEST).exists():  # of a run that did not finish
                shutil.rmtree(folder)
            failures = run(scenarios[case.name], folder)
        except UserError as error:
            failures = [str(error)]
        if failures:
            failed[case.name] = failures[0]
            tell(f"{case.name}: failed: {failures[0]}")
    return results_in(suite, out), failed


def _live(tell: Callable[[str], None]) -> Run:
    require_root()

    def run(scenario: Scenario, folder: Path) -> Sequence[str]:
        possible, reason = as_this_machine_can(scenario)
        if reason:
            tell(f"without policy: {reason}")
        prepared = resolve(possible)
        run_id = new_run_id()
        return run_cells(prepared, run_id, new_run_folder(folder, run_id), quiet=False)

    return run


def _in_virtual_time(tell: Callable[[str], None]) -> Run:
    from testbed.virtual import kernel  # late: live runs need nothing of it
    from testbed.virtual.run import run_in_guest

    found = kernel.ready(None, tell)

    def run(scenario: Scenario, folder: Path) -> Sequence[str]:
        run_id = new_run_id()
        made = new_run_folder(folder, run_id)
        outcome = run_in_guest(found, scenario, run_id, made, tell)
        if outcome.without_policy:
            tell(f"without policy: {outcome.without_policy}")
        return outcome.failures

    return run


def results_in(suite: Suite, out: Path) -> list[CaseResult]:
    """The results of the suite's cases that ``out`` holds, each with a report of its own. Raises
    AnalysisError.
    """
    from analysis.report import build  # late: pandas and plotly are not for the time of the traffic

    results = []
    for case in suite.cases:
        folder = out / case.name
        if is_done(folder):
            if not (folder / "report.html").exists():
                build(folder)
            results.append(result_of(case, folder))
    return results
