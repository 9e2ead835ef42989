"""Guides whose commands have outputs of their own to check; test_commands.py runs the others."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import GUIDE, ROOT, commands

NEEDS = {"iperf3": shutil.which("iperf3"), "examples/quic.py": find_spec("aioquic")}


def shown(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in the project's root with this interpreter; run folders go to ``folder``."""
    for need, found in NEEDS.items():
        if need in command and not found:
            pytest.skip(f"{need} cannot run here")
    words = shlex.split(command.replace("'python ", f"'{sys.executable} "))
    assert words[0] == "tbtest"
    argv = [sys.executable, "-m", "testbed", *words[1:]]
    if words[1] == "run" and "--out" not in words:
        argv += ["--out", str(folder / "run")]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=290)


@pytest.mark.root
@pytest.mark.parametrize(
    "command",
    commands(GUIDE / "programs.md"),  # those of shell.md: tests/testbed/run/test_programs.py
)
def test_programs(command: str, tmp_path: Path) -> None:
    done = shown(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "throughput Mbit/s" in done.stdout


@pytest.mark.root
@pytest.mark.parametrize("command", commands(GUIDE / "directions.md"))
def test_directions(command: str, tmp_path: Path) -> None:
    done = shown(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ACKs' queueing delay" in done.stdout


@pytest.mark.root
@pytest.mark.parametrize("command", commands(GUIDE / "queues.md"))
def test_queues(command: str, tmp_path: Path) -> None:
    done = shown(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("marked (CE)" in done.stdout) == ("--ecn" in command)


@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", commands(GUIDE / "ci.md"))
def test_ci(command: str, tmp_path: Path) -> None:
    done = shown(command, tmp_path)
    assert done.returncode in (0, 3), done.stderr  # which one depends on the machine
    assert "bbr.qdelay_p95_ms <= 2 * cubic.qdelay_p95_ms: " in done.stderr
    assert "over 5 pairs" in done.stderr
