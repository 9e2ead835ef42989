"""Runs of a grid as processes of this machine: a few at a time, all ended in order when the grid is
interrupted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from testbed.grid.expand import GridRun
from testbed.system.process import Process, ProcessFailed
from testbed.system.scope import Scope

_POLL_S = 0.1
WORKER_STOP_S = 20.0  # a worker ends its own network, agent and server first
READ_S = 5.0

R = TypeVar("R", bound=GridRun)
Command = Callable[[R, Path], Sequence[str]]
"""The program that does a run; it prints one line when it has. The folder is for its input, gone
when it has ended.
"""
OnEnd = Callable[[R, str, str | None], None]
"""Called with the run and the line that its process printed, or with what went wrong."""


@dataclass
class _Worker(Generic[R]):
    run: R
    process: Process
    scope: ExitStack

    def answer(self) -> tuple[str, str | None]:
        """The line that the ended process printed, or what went wrong."""
        try:
            self.process.check()
            return self.process.read_line(READ_S), None
        except ProcessFailed as error:
            return "", str(error)
        finally:
            self.scope.close()


def run_processes(
    scope: Scope,
    runs: Sequence[R],
    command: Command[R],
    *,
    workers: int,
    on_start: Callable[[R], None],
    on_end: OnEnd[R],
) -> None:
    """Run a process for every run, in order, at most `workers` at a time. One that fails does not
    stop the others.
    """
    waiting = iter(runs)
    with _workers() as working:
        while True:
            while len(working) < workers and (run := next(waiting, None)) is not None:
                on_start(run)
                working.append(_start(scope, run, command))
            if not working:
                return
            ended = [worker for worker in working if worker.process.poll() is not None]
            for worker in ended:
                working.remove(worker)
                on_end(worker.run, *worker.answer())
            if not ended:
                time.sleep(_POLL_S)


def _start(scope: Scope, run: R, command: Command[R]) -> _Worker[R]:
    """One run's process, in a scope of its own."""
    with ExitStack() as stack:
        own = stack.enter_context(scope.child(run.id))
        process = own.spawn(command(run, own.tmp), name=run.id, env=worker_environment())
        return _Worker(run, process, stack.pop_all())


def worker_environment() -> dict[str, str]:
    """One thread per library: the workers themselves are what is parallel."""
    return {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def _workers() -> Iterator[list[_Worker[Any]]]:
    """The running workers; on the way out those left are told to end side by side, and waited
    for.
    """
    working: list[_Worker[Any]] = []
    try:
        yield working
    finally:
        for worker in working:
            worker.process.terminate()
        for worker in working:
            worker.process.stop(WORKER_STOP_S)
            worker.scope.close()
