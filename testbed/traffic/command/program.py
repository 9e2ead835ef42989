"""A foreign program: started, watched, its output kept, ended with all that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from testbed.errors import UserError
from testbed.system.process import bound_argv
from testbed.traffic.command.output import FLOOD_BYTES, BoundedOutput, drain

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_TERM_S = 2.0
_SLICE_S = 0.02


class Program:
    """A running program in a session of its own. What it leaves behind becomes a child of this
    process (PR_SET_CHILD_SUBREAPER), so that ``stop`` ends daemons too. From the main thread only.
    """

    def __init__(self, role: str, argv: Sequence[str], output: Path) -> None:
        """Start it. Raises UserError."""
        self.role = role
        self.argv = list(argv)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.output = BoundedOutput(output)
        self.started_ns = time.monotonic_ns()
        self.ended_ns: int | None = None
        self.stopped = False
        self._flooded = False
        try:
            self._popen = subprocess.Popen(
                bound_argv(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self.output.close()
            raise UserError(f"setpriv cannot be started: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, name="output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        if not drain(self._popen.stdout.fileno(), self.output):
            self._flooded = True
            self._signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Its exit status; None while it runs. Raises UserError if it flooded its output."""
        if self._flooded:
            raise UserError(
                f"the {self.role}'s command wrote more than {FLOOD_BYTES >> 20} MB of output and "
                "was ended; let it write less, or to a file in {log_dir}"
            )
        status = self._popen.poll()
        if status is not None and self.ended_ns is None:
            self.ended_ns = time.monotonic_ns()
        return status

    def check(self, when: str) -> bool:
        """Whether it still runs. Raises UserError with its last line if it failed."""
        status = self.poll()
        if status:
            raise self.failed(f"ended with status {status} {when}")
        return status is None

    def failed(self, what: str) -> UserError:
        """The one line to say of it."""
        self._reader.join(0.5)
        return UserError(f"the {self.role}'s command {what}: {self.output.last_line()}")

    def stop(self) -> None:
        """End it and all that it started, in order where it listens: SIGTERM, after 2 s SIGKILL."""
        self.stopped = self._popen.poll() is None
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + _TERM_S
        while self._popen.poll() is None and time.monotonic() < deadline:
            time.sleep(_SLICE_S)
        self._signal(signal.SIGKILL)
        self._popen.wait()
        if self.ended_ns is None:
            self.ended_ns = time.monotonic_ns()
        _kill_children()
        self._reader.join(_TERM_S)
        self.output.close()

    def describe(self) -> dict[str, object]:
        """For the run folder, after ``stop``."""
        return {
            "argv": self.argv,
            "status": self._popen.returncode,
            "stopped": self.stopped,
            "started_ns": self.started_ns,
            "ended_ns": self.ended_ns,
            "output_bytes": self.output.total_bytes,
        }

    def _signal(self, signum: int) -> None:
        """To its process group, which lives as long as any of its members."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signum)


def _kill_children() -> None:
    """Kill and reap every child of this process, and theirs as they become ours."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while found := children.read_text().split():
        for pid in map(int, found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
