import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.system import pids
from testbed.system.pids import RUN_VARIABLE, ProcessId, kill, processes_of_run


def sleeper(**env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], env={**os.environ, **env})


def test_identifies_itself() -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    assert own.alive()
    assert own.start_ticks > 0


def test_same_pid_other_start_time_is_another_process_and_survives() -> None:
    process = sleeper()
    try:
        known = ProcessId.of(process.pid)
        assert known is not None
        impostor = ProcessId(process.pid, known.start_ticks + 1)
        assert not impostor.alive()
        assert kill(impostor)
        assert process.poll() is None
        assert kill(known)
        assert process.wait() == -9
    finally:
        process.kill()
        process.wait()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    known = ProcessId.of(process.pid)
    assert process.stdout is not None
    process.stdout.read()  # returns when it has ended; it has not been waited for
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert known is None or not known.alive()
    assert ProcessId.of(process.pid) is None
    process.wait()
    process.stdout.close()


def test_finds_processes_by_the_run_in_their_environment() -> None:
    process = sleeper(**{RUN_VARIABLE: "run-a"})
    other = sleeper(**{RUN_VARIABLE: "run-ab"})
    try:
        assert [found.pid for found in processes_of_run("run-a")] == [process.pid]
    finally:
        for each in (process, other):
            each.kill()
            each.wait()


def test_a_process_without_an_environment_executes_nothing_now() -> None:
    process = subprocess.Popen(["sleep", "60"], env={})
    try:
        entry = Path(f"/proc/{process.pid}")
        assert (entry / "environ").read_bytes() == b""
        assert not pids._executes_now(entry)
        assert list(processes_of_run("run-a")) == []
    finally:
        process.kill()
        process.wait()


def test_a_process_within_execve_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleeper(**{RUN_VARIABLE: "run-c"})
    entry, read = f"/proc/{process.pid}/environ", Path.read_bytes
    early = iter([b"", b""])

    def read_bytes(path: Path) -> bytes:
        return next(early, read(path)) if str(path) == entry else read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(pids, "_executes_now", lambda folder: folder.name == str(process.pid))
    try:
        assert [found.pid for found in processes_of_run("run-c")] == [process.pid]
    finally:
        process.kill()
        process.wait()
