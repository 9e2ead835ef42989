"""A policy's server that dies during a cell: the cell fails, since the agent's fallback is no
policy; the others go on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from policy.python import python_command
from testbed.system.pids import processes_of_run

pytestmark = pytest.mark.root

RUN = ["run", "--rate", "5mbit", "--duration", "8s", "--flow", "bulk", "--cc", "policy:gcc,bbr"]


def servers(run_id: str) -> list[int]:
    """The run's policy servers, by what they were told to read."""
    found = []
    for process in processes_of_run(run_id):
        try:
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"policy-server.json" in command:
            found.append(process.pid)
    return found


def test_a_cell_whose_server_has_died_fails(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = python_command("testbed", *RUN, "--out", str(folder))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            deadline = time.monotonic() + 120
            while not list(folder.glob("cells/*-policy.gcc-r0/goodput-0.raw")):
                assert run.poll() is None, run.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            run_id = json.loads((folder / "manifest.json").read_text())["run_id"]
            (server,) = servers(run_id)
            os.kill(server, signal.SIGKILL)
            stdout, stderr = run.communicate(timeout=120)
        finally:
            run.kill()
    assert run.returncode != 0
    assert "1 of 2 cells failed" in stderr
    assert "policy-server ended with status -9" in stderr
    cells = json.loads((folder / "manifest.json").read_text())["cells"]
    assert {cell["cc"]: cell["status"] for cell in cells} == {"policy:gcc": "failed", "bbr": "done"}
    assert "-policy.gcc-r0 is failed, left out" in " ".join(stdout.split())
