"""What a guest is told and what it answers: two JSON files in a folder that both sides see."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from testbed.scenario import Scenario

FOLDER = Path("/run/job")
"""The job's folder, as the guest sees it."""
RESULTS = Path("/run/results")
"""The run folder, as the guest sees it: at one place, so that its name cannot change a result."""
JOB, OUTCOME = "job.json", "outcome.json"


class Job(BaseModel):
    """One run: the scenario, and what only the host knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Scenario
    run_id: str
    quiet: bool
    """No line of progress for each cell."""


class Outcome(BaseModel):
    """How a run ended: what went wrong with the cells that failed, or why there is no run at
    all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: int = 0
    failures: tuple[str, ...] = ()
    error: str | None = None
    without_policy: str = ""
