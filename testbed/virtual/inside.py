"""The program of a guest, ``python -m testbed.virtual.inside``: runs the cells of the job, writes
the outcome and switches the guest off.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.abc
import os
import sys
import traceback

from analysis.errors import AnalysisError
from testbed.controllers.registry import parse
from testbed.errors import UserError
from testbed.run.default import as_this_machine_can
from testbed.run.plan import plan_cells
from testbed.run.prepared import resolve
from testbed.run.runner import run_cells
from testbed.scenario import Scenario
from testbed.virtual import modules
from testbed.virtual.job import FOLDER, JOB, OUTCOME, RESULTS, Job, Outcome

_RB_POWER_OFF = 0x4321FEDC  # linux/reboot.h


_IN_AGENTS = ("agent.process", "agent.inline")
_IN_TRAFFIC = ("pyarrow.parquet", "testbed.traffic.stream")


def preload(scenario: Scenario) -> None:
    """Import what the run's processes import late: forks of this one then have it."""
    agents = any(parse(name).kind in ("policy", "observe") for name in scenario.cc)
    for name in (*_IN_TRAFFIC, *(_IN_AGENTS if agents else ())):
        importlib.import_module(name)
    if not needs_pandas(scenario):
        sys.meta_path.insert(0, _NoPandas())


def needs_pandas(scenario: Scenario) -> bool:
    """Whether the guest's programs import pandas: the check of expectations does, and the user's
    own code may.
    """
    return bool(scenario.expect) or ".py" in scenario.model_dump_json()


class _NoPandas(importlib.abc.MetaPathFinder):
    """Finds everything but pandas, which Arrow imports to tell its types from others: no table of a
    run has any, and importing it takes a second of the processor.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Raises ImportError for pandas, and leaves the rest to others."""
        if name == "pandas":
            raise ImportError(name)


def run(job: Job) -> Outcome:
    """Run the job's cells into /run/results."""
    modules.load(FOLDER)
    scenario, reason = as_this_machine_can(job.scenario)
    preload(scenario)
    try:
        failures = run_cells(resolve(scenario), job.run_id, RESULTS, quiet=job.quiet)
    except (UserError, AnalysisError) as error:
        return Outcome(error=f"{error}", without_policy=reason)
    return Outcome(cells=len(plan_cells(scenario)), failures=tuple(failures), without_policy=reason)


def main() -> None:
    """Entry point."""
    job = Job.model_validate_json((FOLDER / JOB).read_bytes())
    try:
        try:
            outcome = run(job)
        # The guest's console ends with the guest: the host is to say what was wrong.
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        draft = FOLDER / f"{OUTCOME}.new"
        draft.write_text(outcome.model_dump_json(), encoding="utf-8")
        draft.replace(FOLDER / OUTCOME)
    finally:
        os.sync()
        ctypes.CDLL(None).reboot(ctypes.c_int(_RB_POWER_OFF))


if __name__ == "__main__":
    main()
