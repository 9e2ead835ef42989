"""Python modules run by forks of this process. In a guest, whose system calls and page faults are
slow, starting an interpreter and importing is what costs; a fork has what this process has.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import os
import runpy
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from policy.python import python_command

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def module_of(argv: Sequence[str]) -> tuple[str, list[str]] | None:
    """The module and the arguments of a command of `python_command`; None for other programs."""
    start = python_command("")[:-1]
    if list(argv[: len(start)]) != start or len(argv) <= len(start):
        return None
    return argv[len(start)], list(argv[len(start) + 1 :])


class Forked:
    """A module run as `python -m module arguments...` in a fork; what `Process` needs of a Popen.

    It dies with this process, has a session of its own, and of open files ``pass_fds`` alone.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        stderr: IO[bytes],
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        importlib.import_module(module)
        child_in, stdin = os.pipe()
        stdout, child_out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(module, arguments, (child_in, child_out, stderr.fileno()), env, pass_fds)
        os.close(child_in)
        os.close(child_out)
        self.stdin: IO[bytes] = io.FileIO(stdin, "w")
        self.stdout: IO[bytes] = io.FileIO(stdout, "r")
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, minus the signal's number if one ended it; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Wait for it to end; returns its exit status."""
        status = self._wait(0)
        assert status is not None
        return status

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            ended, status = os.waitpid(self.pid, options)
            if ended:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _become(
    module: str,
    arguments: Sequence[str],
    standard: Sequence[int],
    env: Mapping[str, str],
    pass_fds: Sequence[int],
) -> NoReturn:
    """The rest of the fork's life. Nothing of the forking process is cleaned up in it."""
    status = 1
    try:
        gc.freeze()  # a collection would touch, and so copy, all that is shared
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        for number, fd in enumerate(standard):
            os.dup2(fd, number)
        _close_others(pass_fds)
        for fd in pass_fds:
            os.set_inheritable(fd, True)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False, encoding="utf-8")  # noqa: SIM115
            for number, mode in enumerate("rww")
        )
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [module, *arguments]
        warnings.simplefilter("ignore", RuntimeWarning)  # that it was imported before
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (there is nobody to raise it to)
        traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                if not stream.closed:
                    stream.flush()
        finally:
            os._exit(status)


def _close_others(pass_fds: Sequence[int]) -> None:
    kept = {0, 1, 2, *pass_fds}
    for fd in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if fd not in kept:
            with suppress(OSError):  # the listing itself is among them
                os.close(fd)
