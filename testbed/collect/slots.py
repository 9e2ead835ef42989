"""Parallel slots: jobs as processes, a few at a time, all ended in order when the collection is
interrupted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from policy.python import python_command
from testbed.collect.grid import Job
from testbed.system.process import Process, ProcessFailed
from testbed.system.scope import Scope

_POLL_S = 0.1
SLOT_STOP_S = 20.0  # a slot ends its own network, agent and server first
_READ_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its rows, or what went wrong."""

    job: Job
    rows: int = 0
    error: str | None = None


class Named(Protocol):
    """What slots need to know of a job."""

    @property
    def id(self) -> str:
        """Unique among the jobs; part of file names."""


J = TypeVar("J", bound=Named)
Command = Callable[[J, Path], Sequence[str]]
"""The program that does a job; it prints one line when it has. The folder is for its input, gone
when it has ended.
"""


@dataclass
class _Slot(Generic[J]):
    job: J
    process: Process
    scope: ExitStack

    def answer(self) -> tuple[str, str | None]:
        """The line that the process printed, or what went wrong. Of a process that has ended."""
        try:
            self.process.check()
            return self.process.read_line(_READ_S), None
        except ProcessFailed as error:
            return "", str(error)
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
    """Run all jobs of a collection, at most `slots` at a time. A job that fails does not stop the
    others.
    """

    def command(job: Job, folder: Path) -> list[str]:
        path = folder / "job.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        argv = python_command("testbed.collect.slot", path, out)
        return [*argv, "--keep-runs"] if keep_runs else argv

    def ended(job: Job, line: str, error: str | None) -> None:
        if error is None and not line.isdecimal():
            error = f"{job.id}: it printed {line!r} instead of its number of rows"
        on_end(Outcome(job, error=error) if error is not None else Outcome(job, rows=int(line)))

    run_in_slots(scope, jobs, command, slots=slots, on_start=on_start, on_end=ended)


def run_in_slots(
    scope: Scope,
    jobs: Sequence[J],
    command: Command[J],
    *,
    slots: int,
    on_start: Callable[[J], None],
    on_end: Callable[[J, str, str | None], None],
) -> None:
    """Run a process for every job, in order, at most `slots` at a time.

    `on_end` gets the job with the line that its process printed, or with what went wrong.
    """
    waiting = iter(jobs)
    with _slots() as running:
        while True:
            while len(running) < slots and (job := next(waiting, None)) is not None:
                on_start(job)
                running.append(_start(scope, job, command))
            if not running:
                return
            ended = [slot for slot in running if slot.process.poll() is not None]
            for slot in ended:
                running.remove(slot)
                on_end(slot.job, *slot.answer())
            if not ended:
                time.sleep(_POLL_S)


def _start(scope: Scope, job: J, command: Command[J]) -> _Slot[J]:
    """One job's process, in a scope of its own."""
    with ExitStack() as stack:
        own = stack.enter_context(scope.child(job.id))
        process = own.spawn(command(job, own.tmp), name=job.id, env=slot_environment())
        return _Slot(job, process, stack.pop_all())


def slot_environment() -> dict[str, str]:
    """One thread per library: the slots themselves are what is parallel."""
    return {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def _slots() -> Iterator[list[_Slot[Any]]]:
    """The running slots; on the way out those left are told to end side by side, and waited for."""
    running: list[_Slot[Any]] = []
    try:
        yield running
    finally:
        for slot in running:
            slot.process.terminate()
        for slot in running:
            slot.process.stop(SLOT_STOP_S)
            slot.scope.close()
