"""Two empty router namespaces and a scope for the tests of links."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


@dataclass
class FakeNetNs:
    fd: int

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            assert _libc.setns(self.fd, _CLONE_NEWNET) == 0
            yield
        finally:
            _libc.setns(here, _CLONE_NEWNET)
            os.close(here)


@dataclass
class FakeProcess:
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def read_line(self, timeout_s: float) -> str:
        assert self.popen.stdout is not None
        ready, _, _ = select.select([self.popen.stdout], [], [], timeout_s)
        line = self.popen.stdout.readline().decode() if ready else ""
        if not line:
            raise RuntimeError("the process is not ready")
        return line.rstrip("\n")

    def write_line(self, text: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()

    def poll(self) -> int | None:
        return self.popen.poll()

    def stop(self, timeout_s: float = 5.0) -> int:
        self.popen.terminate()
        return self.popen.wait(timeout_s)


@dataclass
class FakeScope:
    tmp: Path
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    run_id: str = "test"

    def callback(self, fn: Any, *args: Any, **kwargs: Any) -> None:
        self.stack.callback(fn, *args, **kwargs)

    def enter(self, manager: Any) -> Any:
        return self.stack.enter_context(manager)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str,
        netns: FakeNetNs | None = None,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> FakeProcess:
        with netns.inside() if netns else contextlib.nullcontext():
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log.open("wb") if log else None,
                pass_fds=tuple(pass_fds),
            )

        def reap() -> None:
            popen.kill()
            popen.wait()

        self.stack.callback(reap)
        return FakeProcess(popen)


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[FakeScope]:
    (tmp_path / "scope").mkdir()
    fake = FakeScope(tmp_path / "scope")
    with fake.stack:
        yield fake


@pytest.fixture
def routers() -> Iterator[tuple[FakeNetNs, FakeNetNs]]:
    with contextlib.ExitStack() as stack:
        yield new_netns(stack), new_netns(stack)


def new_netns(stack: contextlib.ExitStack) -> FakeNetNs:
    """A namespace that lives as long as its descriptor."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        assert _libc.unshare(_CLONE_NEWNET) == 0, "needs root"
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    finally:
        _libc.setns(here, _CLONE_NEWNET)
        os.close(here)
    stack.callback(os.close, fd)
    return FakeNetNs(fd)
