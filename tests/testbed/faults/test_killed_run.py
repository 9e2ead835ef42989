"""A run that was killed during a fault cannot end anything itself: `tbtest clean` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.ebpf import bpffs
from agent.spawn import new_cc_name
from testbed.system.leftovers import clean
from testbed.system.state import RunState, read_states

# Registers without a link, writes down its pins as a run does, and is killed.
UNLINKED = """
import functools, os, signal, sys
from pathlib import Path
from agent.config import AgentConfig
from agent.ebpf import loader
from agent.ebpf.datapath import EbpfDatapath
from testbed.system.state import RecordedPath, RunState
name, log_dir, run_id, folder = sys.argv[1:]
config = AgentConfig(cc_name=name, log_dir=log_dir, kernel="aimd")
RunState.create(run_id, Path(folder)).add_path(RecordedPath("pin", str(config.pins)))
register = loader._register
loader._register = lambda *arguments, link: register(*arguments, link=False)
tier = EbpfDatapath(config)
os.kill(os.getpid(), signal.SIGKILL)
"""
MOUNTS = """
import os, subprocess, sys
from pathlib import Path
from agent.ebpf import bpffs
from agent.ebpf import bpffs
from agent.spawn import new_cc_name
from testbed.system.leftovers import clean
from testbed.system.pids import ProcessId
from testbed.system.state import RecordedPath, RunState
while bpffs.in_bpffs(bpffs.ROOT):
    subprocess.run(["umount", str(bpffs.ROOT)], check=True)
bpffs._mount()
state = RunState.create("dead", Path(sys.argv[1]))
state.process = ProcessId(state.process.pid, 1)
state.add_path(RecordedPath("pin", str(bpffs.ROOT / "tbtest-never")))
print(bpffs.in_bpffs(bpffs.ROOT))
clean(folder=Path(sys.argv[1]))
print(bpffs.in_bpffs(bpffs.ROOT))
"""

pytestmark = [pytest.mark.root, pytest.mark.ebpf]


def _state(pid: int) -> RunState | None:
    return next((state for state in read_states()[0] if state.process.pid == pid), None)


def available() -> list[str]:
    return Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def _wait_until_flowing(run: subprocess.Popen[bytes]) -> RunState:
    """Until the sender is started, which is after the agent has pinned its maps."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state = _state(run.pid)
        if state and {"agent", "policy-server", "sender-0"} <= {
            process.name for process in state.processes
        }:
            return state
        assert run.poll() is None
        time.sleep(0.05)
    raise AssertionError("the run did not start its flow")


def test_clean_removes_what_a_killed_run_left(tmp_path, bpf_objects, assert_gone):
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "testbed",
            "run",
            "--cc",
            "policy:gcc",
            "--rate",
            "12mbit",
            "--flow",
            "bulk",
            "--duration",
            "60s",
            "--out",
            str(tmp_path / "run"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        state = _wait_until_flowing(run)
        (pins,) = [Path(path.path) for path in state.paths if path.kind == "pin"]
        objects = bpf_objects(pins)
        processes = {process.process for process in state.processes}
        (server,) = [
            process.process.pid for process in state.processes if process.name == "policy-server"
        ]
        os.kill(server, signal.SIGSTOP)
    finally:
        run.kill()
        run.wait()
    (cleaned,) = clean(state.run_id).cleaned
    assert not cleaned.stuck
    assert str(pins) in cleaned.paths
    assert objects
    assert_gone(state.run_id, pins.name.removeprefix("tbtest-"), objects, processes)
    # The mount is gone, unless it was the system's, or others use it.
    assert [entry.name for entry in bpffs.ROOT.iterdir()] != ["tbtest-mounted"]


def test_clean_unregisters_a_controller_that_has_no_link(tmp_path):
    """As on kernels before 6.4: there removing the pins alone would leave it registered for
    ever.
    """
    name = new_cc_name()
    run_id = f"unlinked-{name}"
    victim = subprocess.run(
        [
            sys.executable,
            "-c",
            UNLINKED,
            name,
            str(tmp_path / "agent"),
            run_id,
            str(tmp_path / "state"),
        ],
        capture_output=True,
        text=True,
    )
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    assert name in available()
    (cleaned,) = clean(run_id, folder=tmp_path / "state").cleaned
    assert cleaned.paths == (f"/sys/fs/bpf/tbtest-{name}",)
    assert not cleaned.stuck
    assert name not in available()


def test_clean_unmounts_what_an_agent_mounted(tmp_path):
    """In a mount namespace of its own, where /sys/fs/bpf is not mounted; the agent dies before it
    pins anything.
    """
    inside = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTS]
    done = subprocess.run(
        [*inside, str(tmp_path / "state")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
