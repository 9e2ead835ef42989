"""A run that was killed during a fault cannot end anything itself: `tbtest clean` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.system.leftovers import clean
from testbed.system.state import RunState, read_states

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def _state(pid: int) -> RunState | None:
    return next((state for state in read_states()[0] if state.process.pid == pid), None)


def _wait_until_flowing(run: subprocess.Popen[bytes]) -> RunState:
    """Until the sender is started, which is after the agent has pinned its maps."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        state = _state(run.pid)
        if state and {"agent", "policy-server", "sender-0"} <= {process.name for process in state.processes}:
            return state
        assert run.poll() is None
        time.sleep(0.05)
    raise AssertionError("the run did not start its flow")


def test_clean_removes_what_a_killed_run_left(tmp_path, bpf_objects, assert_gone):
    run = subprocess.Popen(
        [sys.executable, "-m", "testbed", "run", "--cc", "policy:gcc", "--rate", "12mbit", "--flow", "bulk",
         "--duration", "60s", "--out", str(tmp_path / "run")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        state = _wait_until_flowing(run)
        (pins,) = [Path(path.path) for path in state.paths if path.kind == "pin"]
        objects = bpf_objects(pins)
        processes = {process.process for process in state.processes}
        (server,) = [process.process.pid for process in state.processes if process.name == "policy-server"]
        os.kill(server, signal.SIGSTOP)
    finally:
        run.kill()
        run.wait()
    (cleaned,) = clean(state.run_id).cleaned
    assert not cleaned.stuck
    assert str(pins) in cleaned.paths
    assert objects
    assert_gone(state.run_id, pins.name.removeprefix("tbtest-"), objects, processes)
