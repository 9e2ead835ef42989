"""A machine that does not let a run do its work says which path refuses, and what helps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

TBTEST = [sys.executable, "-P", "-m", "testbed"]
QUICK = ["run", "--rate", "5mbit", "--duration", "1s", "--flow", "bulk"]
PROC_SYS = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys"
BPFFS = "mount -t bpf none /sys/fs/bpf && mount -o remount,ro /sys/fs/bpf"


def within(mounts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tbtest` in a mount namespace of its own in which `mounts` was done."""
    script = f'{mounts} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *TBTEST, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("mounts", "row", "blocks"), [(PROC_SYS, "/proc/sys", True), (BPFFS, "/sys/fs/bpf", False)]
)
def test_doctor_finds_what_is_read_only(mounts: str, row: str, blocks: bool) -> None:
    done = within(mounts, "doctor", "--json")
    answer = json.loads(done.stdout)
    (finding,) = [finding for finding in answer["findings"] if finding["name"] == row]
    assert finding["state"] == "missing"
    assert "Read-only file system" in finding["detail"]
    assert finding["essential"] is blocks
    if blocks:
        assert (done.returncode, answer["main_job"]) == (1, False)


def test_a_run_names_the_setting_that_cannot_be_written(tmp_path: Path) -> None:
    done = within(PROC_SYS, *QUICK, "--cc", "cubic", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("tbtest:")]
    assert "/proc/sys/net/" in line
    assert "Read-only file system; it is mounted read-only" in line
    assert "--privileged" in line


def test_too_few_open_files_are_named(tmp_path: Path) -> None:
    script = [sys.executable, "-c", "import resource, os, sys; "
              "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
              "os.execvp(sys.argv[1], sys.argv[1:])"]  # fmt: skip
    command = [*script, *TBTEST, *QUICK, "--cc", "cubic", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "may open 64: raise the limit with `ulimit -Hn" in done.stderr
    assert done.stderr.count("\n") == 1
