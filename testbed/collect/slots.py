"""Parallel slots: jobs as processes, a few at a time, all ended in order when the collection is interrupted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.collect.grid import Job
from testbed.system.process import Process, ProcessFailed
from testbed.system.scope import Scope

_POLL_S = 0.1
_STOP_S = 20.0  # a slot ends its own network, agent and server first
_READ_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its rows, or what went wrong."""

    job: Job
    rows: int = 0
    error: str | None = None


@dataclass
class _Slot:
    job: Job
    process: Process
    scope: ExitStack

    def outcome(self) -> Outcome:
        """Of a process that has ended."""
        try:
            self.process.check()
            return Outcome(self.job, rows=int(self.process.read_line(_READ_S)))
        except (ProcessFailed, ValueError) as error:
            return Outcome(self.job, error=str(error))
        finally:
            self.scope.close()


def run_jobs(
    scope: Scope,
    jobs: Sequence[Job],
    out: Path,
    *,
    slots: int,
    keep_runs: bool,
    on_start: Callable[[Job], None],
    on_end: Callable[[Outcome], None],
) -> None:
    """Run all jobs, at most `slots` at a time. A job that fails does not stop the others."""
    waiting = iter(jobs)
    with _slots() as running:
        while True:
            while len(running) < slots and (job := next(waiting, None)) is not None:
                on_start(job)
                running.append(_start(scope, job, out, keep_runs))
            if not running:
                return
            ended = [slot for slot in running if slot.process.poll() is not None]
            for slot in ended:
                running.remove(slot)
                on_end(slot.outcome())
            if not ended:
                time.sleep(_POLL_S)


def _start(scope: Scope, job: Job, out: Path, keep_runs: bool) -> _Slot:
    with ExitStack() as stack:
        own = stack.enter_context(scope.child(job.id))
        path = own.tmp / "job.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        argv = [sys.executable, "-m", "testbed.collect.slot", str(path), str(out)]
        process = own.spawn([*argv, "--keep-runs"] if keep_runs else argv, name=job.id, env=_environment())
        return _Slot(job, process, stack.pop_all())


def _environment() -> dict[str, str]:
    """One thread per library: the slots themselves are what is parallel."""
    return {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def _slots() -> Iterator[list[_Slot]]:
    """The running slots; on the way out those left are told to end side by side, and waited for."""
    running: list[_Slot] = []
    try:
        yield running
    finally:
        for slot in running:
            slot.process.terminate()
        for slot in running:
            slot.process.stop(_STOP_S)
            slot.scope.close()
