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
from testbed.suite.definition import Case, Suite, scenario_of
from testbed.suite.verdict import CaseResult, is_done, result_of
from testbed.system.scope import new_run_id


def run_suite(
    suite: Suite,
    cases: Sequence[Case],
    cc: tuple[str, ...] | None,
    repeats: int,
    scale: float,
    out: Path,
    tell: Callable[[str], None],
) -> tuple[list[CaseResult], dict[str, str]]:
    """Run those of ``cases`` that ``out`` does not hold yet; returns the results of every case
    there, and why others failed.

    A case that fails does not stop the next. Raises UserError for what is wrong with all of them.
    """
    require_root()
    scenarios = {case.name: scenario_of(case, cc, repeats, scale) for case in cases}
    failed: dict[str, str] = {}
    for case in cases:
        folder = out / case.name
        if is_done(folder):
            tell(f"{case.name}: {folder} is there already")
            continue
        scenario, reason = as_this_machine_can(scenarios[case.name])
        if reason:
            tell(f"without policy: {reason}")
        tell(f"{case.name}: {case.about.title}")
        try:
            prepared = resolve(scenario)
            if (folder / MANIFEST).exists():  # of a run that did not finish
                shutil.rmtree(folder)
            run_id = new_run_id()
            failures = run_cells(prepared, run_id, new_run_folder(folder, run_id), quiet=False)
        except UserError as error:
            failures = [str(error)]
        if failures:
            failed[case.name] = failures[0]
            tell(f"{case.name}: failed: {failures[0]}")
    return results_in(suite, out), failed


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
