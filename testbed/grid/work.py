"""What there is to do for whoever runs a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.grid.expand import GridRun
from testbed.grid.worker import Way

CORES_PER_WORKER = 2
"""A run's link, traffic and agent keep about this many busy; one in virtual time keeps one."""
OnStart = Callable[[GridRun], None]


@dataclass(frozen=True)
class Work:
    """Runs, in order, and what their workers need.

    module: the worker, `python -m module RUN.json RUN_FOLDER [--keep-run]`.
    traces: the file of each trace.
    server: settings of a policy server that the runs of one host share; None: they need none.
    policy_server: the address of a running one to use instead.
    log: of the server on this machine. kept: where run folders are kept; None: nowhere.
    virtual: in virtual time, where every run has a guest, and its policies inside.
    """

    runs: Sequence[GridRun]
    module: str
    traces: Mapping[str, Path]
    server: Mapping[str, Any] | None
    policy_server: str | None
    log: Path
    kept: Path | None
    virtual: bool = False

    @property
    def cores_per_worker(self) -> int:
        """Cores that a run keeps busy."""
        return 1 if self.virtual else CORES_PER_WORKER

    @property
    def way(self) -> Way:
        """How the workers run."""
        return Way(keep_run=self.kept is not None, virtual=self.virtual)


def served_by(run: GridRun, address: str | None) -> GridRun:
    """The run with the policy server to use, where it can share one."""
    if address is None or not run.shares_server:
        return run
    return run.model_copy(update={"scenario": {**run.scenario, "policy_server": address}})
