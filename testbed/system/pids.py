"""Processes known so that they cannot be mistaken: by pid and start time, ended through a pidfd."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Every process of a run carries its id in the environment, so that what it starts itself is found
# as well.
RUN_VARIABLE = "TBTEST_RUN"
_EXECUTES_S = 1.0  # execve takes milliseconds, also on a loaded machine


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same pid by its start time (proc(5), field
    22).
    """

    pid: int
    start_ticks: int  # since boot

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has ``pid`` now; None if there is none or only its corpse (a zombie) is
        left.
        """
        try:
            fields = _stat(Path(f"/proc/{pid}"))
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self


def kill(process: ProcessId, timeout_s: float = 5.0) -> bool:
    """SIGKILL this very process and wait for its end. Returns whether it is gone."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if (
            not process.alive()
        ):  # asked after opening: from here on the pidfd cannot mean another one
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return wait_pidfd(pidfd, timeout_s)
    finally:
        os.close(pidfd)


def wait_pidfd(pidfd: int, timeout_s: float) -> bool:
    """Wait until the process has ended; False after ``timeout_s``."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while True:
        left_ms = max(0.0, (deadline - time.monotonic()) * 1000)
        if poller.poll(left_ms):
            return True
        if left_ms == 0:
            return False


def _stat(entry: Path) -> list[str]:
    """Fields of stat, from the third on, of the process of this folder of /proc. Raises OSError."""
    # The command name may hold spaces and brackets: fields are counted after the last one.
    text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _executes_now(entry: Path) -> bool:
    """Whether the process of this folder of /proc is within execve(2): it has memory, but no
    environment yet (proc(5), fields 23 and 51 of stat; the kernel tells those who may read its
    environment). Raises OSError if it is gone.
    """
    fields = _stat(entry)
    return fields[0] not in "ZX" and int(fields[20]) > 0 and int(fields[48]) == 0


def processes_of_run(run_id: str) -> Iterator[ProcessId]:
    """Every live process whose environment carries ``run_id``, but for the caller. One that just
    executes a program is waited for: meanwhile it has no environment.
    """
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        process = ProcessId.of(int(entry.name))
        try:
            environment = (entry / "environ").read_bytes()
            give_up = time.monotonic() + _EXECUTES_S
            while not environment and _executes_now(entry) and time.monotonic() < give_up:
                time.sleep(0.001)
                environment = (entry / "environ").read_bytes()
            marked = mark in environment.split(b"\0")
        except OSError:  # gone meanwhile, or not ours to read
            continue
        if process is not None and marked and process.alive():
            yield process


def each_of_run(run_id: str, listed: Iterable[ProcessId] = ()) -> Iterator[ProcessId]:
    """Each process that is listed or carries ``run_id`` once, to be ended before the next is asked
    for: those are found, too, that one of them started meanwhile.
    """
    known = set(listed)
    tried: set[ProcessId] = set()
    while new := (known | set(processes_of_run(run_id))) - tried:
        yield from new
        tried |= new
