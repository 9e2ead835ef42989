"""Python modules run by a fork, as a process of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from policy.python import python_command
from testbed.system.forked import Forked, module_of


def start(tmp_path: Path, module: str, *arguments: str) -> Forked:
    with (tmp_path / "log").open("wb") as log:
        return Forked(module, arguments, stderr=log, env={"PATH": "/bin"})


def close(forked: Forked) -> None:
    forked.stdin.close()
    forked.stdout.close()


def test_a_command_of_ours_is_known() -> None:
    assert module_of(python_command("json.tool", "a", "b")) == ("json.tool", ["a", "b"])
    assert module_of(["/usr/bin/true"]) is None
    assert module_of([]) is None


def test_a_module_reads_and_writes_and_ends(tmp_path: Path) -> None:
    forked = start(tmp_path, "json.tool", "--compact")
    forked.stdin.write(b'{"a": [1, 2]}')
    forked.stdin.close()
    assert forked.stdout.read() == b'{"a":[1,2]}\n'
    assert forked.wait() == 0
    assert forked.poll() == 0
    forked.stdout.close()


def test_what_goes_wrong_is_in_the_log_and_the_status(tmp_path: Path) -> None:
    forked = start(tmp_path, "json.tool", "/nosuch")
    assert forked.wait() != 0
    assert "/nosuch" in (tmp_path / "log").read_text()
    close(forked)


def test_it_ends_by_a_signal(tmp_path: Path) -> None:
    forked = start(tmp_path, "json.tool")  # waits for its input
    assert forked.poll() is None
    os.kill(forked.pid, signal.SIGTERM)
    assert forked.wait() == -signal.SIGTERM
    close(forked)


def test_a_module_that_is_not_there_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        start(tmp_path, "no.such.module")
