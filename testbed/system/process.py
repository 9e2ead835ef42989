"""A process of a run: spoken to by lines, ended through its pidfd, dead when the run is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO

from testbed.errors import UserError
from testbed.system.clock import in_virtual_time
from testbed.system.forked import Forked, module_of
from testbed.system.netns import NetNs
from testbed.system.pids import RUN_VARIABLE, wait_pidfd

_TAIL_LINES = 5
# Bind the process's life to ours. A preexec_fn would run Python between fork and exec, which can
# deadlock beside other threads (gRPC, samplers); util-linux's setpriv makes the same prctl in a
# process of its own, for about 2 ms. If we died before the prctl, no signal would ever come: the
# shell compares its parent with us and gives up.
_BOUND = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')


class ProcessFailed(UserError):  # noqa: N818
    """A process ended, or kept silent, when it should have answered. The message holds the tail of
    its log.
    """


def bound_argv(argv: Sequence[str]) -> list[str]:
    """``argv`` run so that the kernel kills it when the calling thread dies (PR_SET_PDEATHSIG);
    same pid.

    Only for the main thread: the signal comes at the end of the thread that forked, not of its
    process.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "processes are started from the main thread: they die with the thread that forked them"
        )
    return [*_BOUND, str(os.getpid()), *argv]


def _started(
    name: str,
    argv: Sequence[str],
    log_file: IO[bytes],
    env: Mapping[str, str],
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes] | Forked:
    if in_virtual_time() and (found := module_of(argv)) is not None:
        return Forked(*found, stderr=log_file, env=env, pass_fds=pass_fds)
    try:
        return subprocess.Popen(
            bound_argv(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            bufsize=0,
            env=env,
            pass_fds=pass_fds,
            # Ctrl-C in the terminal reaches the run only, which ends us in order
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessFailed(
            f"{name}: cannot start setpriv: {error.strerror}; install util-linux"
        ) from error


class Process:
    """A running process. Made by ``Scope.spawn``, which also ends it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        run_id: str,
        log: Path,
        netns: NetNs | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start ``argv`` with stderr appended to ``log``. Raises ProcessFailed if there is no such
        program.
        """
        self.name = name
        self.log = log
        with log.open("ab") as log_file, netns.inside() if netns else nullcontext():
            variables = {**os.environ, **(env or {}), RUN_VARIABLE: run_id}
            self._popen = _started(name, argv, log_file, variables, pass_fds)
        self.pid = self._popen.pid
        self.pidfd = os.pidfd_open(self.pid)
        self._buffer = b""

    def read_line(self, timeout_s: float) -> str:
        """The next line of its stdout, without the line end. Raises ProcessFailed at its end or
        after ``timeout_s``.
        """
        stdout = self._popen.stdout
        assert stdout is not None
        deadline = time.monotonic() + timeout_s
        poller = select.poll()
        poller.register(stdout, select.POLLIN)
        while b"\n" not in self._buffer:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poller.poll(left_ms):
                raise self._failed(f"gave no answer within {timeout_s:g} s")
            chunk = stdout.read(65536)
            if not chunk:
                raise self._failed(
                    "closed its output" if self._ended(1.0) is None else "ended early"
                )
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    def write_line(self, text: str) -> None:
        """Write a line to its stdin. Raises ProcessFailed if nobody reads it."""
        stdin = self._popen.stdin
        assert stdin is not None
        try:
            stdin.write(text.encode() + b"\n")
        except BrokenPipeError as error:
            raise self._failed("no longer reads its input") from error

    def poll(self) -> int | None:
        """Its exit status (minus the signal's number if one ended it); None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for it to end by itself. Raises ProcessFailed after ``timeout_s``."""
        status = self._ended(timeout_s)
        if status is None:
            raise self._failed(f"did not end within {timeout_s:g} s")
        return status

    def check(self) -> None:
        """Raises ProcessFailed if it has ended with another status than 0."""
        if self.poll() not in (None, 0):
            raise self._failed("ended")

    def check_runs(self) -> None:
        """Raises ProcessFailed if it has ended, with whatever status."""
        if self.poll() is not None:
            raise self._failed("ended")

    def terminate(self) -> None:
        """SIGTERM, without waiting: to let many processes end side by side before ``stop`` waits
        for each.
        """
        if self.poll() is None:
            self._send(signal.SIGTERM)

    def stop(self, timeout_s: float = 5.0) -> int:
        """SIGTERM, after ``timeout_s`` SIGKILL; returns its exit status. Does nothing more if it
        has ended.
        """
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if self.poll() is not None:
                break
            self._send(signum)
            self._ended(timeout_s)
        status = self._popen.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()
        return status

    def _send(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signum)

    def _ended(self, timeout_s: float) -> int | None:
        if self.poll() is None:
            wait_pidfd(self.pidfd, timeout_s)
        return self.poll()

    def _failed(self, what: str) -> ProcessFailed:
        status = self.poll()
        with_status = "" if status is None else f" with status {status}"
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            if self.log.exists()
            else []
        )
        tail = " | ".join(line.strip() for line in lines[-_TAIL_LINES:] if line.strip())
        return ProcessFailed(f"{self.name} {what}{with_status}; {self.log}: {tail or 'empty'}")
