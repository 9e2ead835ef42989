"""A scope owns what a run creates and ends it in reverse order, however the run ends."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from testbed.errors import UserError
from testbed.system import signals
from testbed.system.netns import NetNs
from testbed.system.pids import ProcessId, each_of_run, kill
from testbed.system.process import Process
from testbed.system.signals import unbroken
from testbed.system.state import STATE_DIR, RecordedPath, RunState, SpawnedProcess

T = TypeVar("T")


def new_run_id() -> str:
    """``20260131T235959-4f0c2a``: sorts by time, unique on this machine."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Scope:
    """Context manager over everything a run creates outside its run folder.

    While the outermost scope lasts, SIGINT, SIGTERM and SIGHUP raise ``Interrupted`` in the main
    thread.
    """

    def __init__(
        self, run_id: str | None = None, *, state_dir: Path = STATE_DIR, parent: Scope | None = None
    ) -> None:
        self.run_id: str = parent.run_id if parent else run_id or new_run_id()
        self.tmp = Path()  # set on entering
        self._state_dir = state_dir
        self._parent = parent
        self._name = ""
        self._stack = ExitStack()
        self._state: RunState

    def __enter__(self) -> Self:
        """Raises UserError without root."""
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    @unbroken
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @unbroken
    def _open(self) -> None:
        if self._parent:
            self._state = self._parent._state
            self.tmp = Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self._parent.tmp))
            self._stack.callback(shutil.rmtree, self.tmp, ignore_errors=True)
            return
        self._stack.callback(signals.restore, signals.install())
        self._state = RunState.create(self.run_id, self._state_dir)
        self._stack.callback(self._state.remove)
        self._stack.callback(self._end_strays)
        self.tmp = Path(tempfile.gettempdir()) / f"tbtest-{self.run_id}"
        self.record("tmp", str(self.tmp))
        try:
            self.tmp.mkdir(mode=0o700)
        except OSError as error:
            raise UserError(
                f"{self.tmp}: cannot be created: {error.strerror}; set TMPDIR to a folder with room"
            ) from error

    @unbroken
    def _close(self) -> None:
        self._stack.close()

    def callback(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call ``fn`` when the scope ends; what was added last ends first."""
        self._stack.callback(fn, *args, **kwargs)

    def enter(self, context_manager: AbstractContextManager[T]) -> T:
        """Enter a context manager, to be left when the scope ends."""
        return self._stack.enter_context(context_manager)

    def child(self, name: str) -> Scope:
        """A scope inside this one, to be entered with ``with``: a cell of the run. Same state
        file.
        """
        scope = Scope(state_dir=self._state_dir, parent=self)
        scope._name = name
        return scope

    @unbroken
    def record(self, kind: str, value: str) -> None:
        """Write down the absolute path ``value`` BEFORE it is made; it is removed when the scope
        ends.

        ``kind`` is for the reader of the state file: "tmp", "pin" (a bpffs path), "log".
        """
        recorded = RecordedPath(kind, value)
        self._state.add_path(recorded)
        self._stack.callback(self._forget_path, recorded)

    @unbroken
    def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str,
        netns: NetNs | None = None,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a process that ends with the scope, at the latest with the run. From the main
        thread only.

        stdin and stdout are pipes (``write_line``, ``read_line``); stderr goes to ``log``; ``env``
        is added to the environment. Raises ProcessFailed.
        """
        log = log or self.tmp / f"{name}.log"
        process = Process(
            argv, name=name, run_id=self.run_id, log=log, netns=netns, env=env, pass_fds=pass_fds
        )
        self.adopt(name, process.pid, process.stop)
        return process

    @unbroken
    def adopt(self, name: str, pid: int, stop: Callable[[], Any]) -> None:
        """Own a process that was started otherwise (see ``bound_argv`` and ``RUN_VARIABLE``);
        ``stop`` ends it.
        """
        self._stack.callback(self._end_process, pid, stop)
        if (process := ProcessId.of(pid)) is not None:
            self._state.add_process(SpawnedProcess(name, process))

    def _end_process(self, pid: int, stop: Callable[[], Any]) -> None:
        stop()
        self._state.drop_process(pid)

    def _forget_path(self, recorded: RecordedPath) -> None:
        remove_path(Path(recorded.path))
        self._state.drop_path(recorded)

    def _end_strays(self) -> None:
        """What the run's processes had started themselves and left behind."""
        for process in each_of_run(self.run_id):
            kill(process)


def remove_path(path: Path) -> bool:
    """Delete a file or a folder with all in it, following no links. Returns whether it was
    there.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return True
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
