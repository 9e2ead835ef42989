"""kill -9 at random moments: nothing is left after `clean`, and nothing of another's is touched."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.system.leftovers import clean
from testbed.system.pids import ProcessId, processes_of_run
from testbed.system.scope import Scope

pytestmark = pytest.mark.root

# A run that makes and unmakes things for ever: namespaces with veth pairs, processes with children,
# files.
VICTIM = """
import sys
from pathlib import Path
from testbed.system.netns import NetNs
from testbed.system.scope import Scope

with Scope(sys.argv[1], state_dir=Path(sys.argv[2])) as run:
    print("begun", flush=True)
    while True:
        with run.child("cell") as cell:
            cell.record("pin", sys.argv[3])
            Path(sys.argv[3]).mkdir()
            command = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 60"]
            holder = cell.spawn(command, name="namespace")
            holder.read_line(5)
            netns = cell.enter(NetNs.of(holder.pid))
            veth = ["ip", "link", "add", "left", "type", "veth", "peer", "name", "right"]
            cell.spawn(veth, name="veth", netns=netns).wait(60)
            # The grandchild outlives its parent; --pdeathsig does not reach it.
            cell.spawn(["sh", "-c", "setsid sleep 60 & exec sleep 60"], name="traffic", netns=netns)
            print("cell", flush=True)
"""


def victim(run_id: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", VICTIM, run_id, str(tmp_path / "state"), str(tmp_path / "pin")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def on_host() -> tuple[str, str]:
    """Interfaces and namespaces that the host shows by name."""
    run = lambda *argv: subprocess.run(argv, capture_output=True, text=True, check=True).stdout  # noqa: E731
    return " ".join(sorted(entry.name for entry in Path("/sys/class/net").iterdir())), run(
        "ip", "netns", "list"
    )


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_a_random_moment(seed: int, tmp_path: Path) -> None:
    before = on_host()
    run_id = f"victim-{os.getpid()}-{seed}"
    process = victim(run_id, tmp_path)
    assert process.stdout is not None
    # Half of them die while they begin, half in the middle of their cells.
    if seed % 2:
        assert process.stdout.readline() == b"begun\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.25))
    process.kill()
    process.communicate()
    clean(folder=tmp_path / "state")
    assert list(processes_of_run(run_id)) == []
    assert not (tmp_path / "pin").exists()
    assert not Path(f"/tmp/tbtest-{run_id}").exists()
    assert list((tmp_path / "state").glob("*")) == []
    assert on_host() == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_twice_leaves_nothing(signum: int, tmp_path: Path) -> None:
    run_id = f"victim-{os.getpid()}-{signum}"
    process = victim(run_id, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.03)
    process.send_signal(signum)
    time.sleep(0.002)
    process.send_signal(signum)
    process.communicate()
    assert process.returncode in (
        1,
        130,
        -signal.SIGINT,
    )  # how Python ends after a KeyboardInterrupt
    assert list(processes_of_run(run_id)) == []
    assert not (tmp_path / "pin").exists()
    assert not Path(f"/tmp/tbtest-{run_id}").exists()
    assert list((tmp_path / "state").glob("*")) == []


def test_reports_what_it_removed_and_leaves_the_living_alone(tmp_path: Path) -> None:
    run_id = f"victim-{os.getpid()}-report"
    process = victim(run_id, tmp_path)
    assert process.stdout is not None
    while process.stdout.readline() != b"cell\n":
        pass
    process.kill()
    process.communicate()
    with Scope(state_dir=tmp_path / "state") as living:
        own = living.spawn(["sleep", "60"], name="own")
        report = clean(folder=tmp_path / "state")
        assert report.alive == (living.run_id,)
        assert own.poll() is None
        assert living.tmp.is_dir()
        with pytest.raises(UserError, match="is alive"):
            clean(living.run_id, folder=tmp_path / "state")
        (cleaned,) = report.cleaned
        assert cleaned.run_id == run_id
        assert str(tmp_path / "pin") in cleaned.paths or not (tmp_path / "pin").exists()
        assert any(path.endswith(run_id) for path in cleaned.paths)
        assert cleaned.stuck == ()
        with pytest.raises(UserError, match=f"no such run; known: {living.run_id}"):
            clean(run_id, folder=tmp_path / "state")


def test_a_pid_used_again_by_another_is_not_touched(tmp_path: Path) -> None:
    """The state file lists a pid that now belongs to a process of somebody else."""
    from testbed.system.state import RunState, SpawnedProcess

    bystander = subprocess.Popen(["sleep", "60"])
    try:
        known = ProcessId.of(bystander.pid)
        assert known is not None
        state = RunState.create("dead", tmp_path)
        state.process = ProcessId(state.process.pid, 1)
        state.add_process(SpawnedProcess("once", ProcessId(known.pid, known.start_ticks - 1)))
        (cleaned,) = clean(folder=tmp_path).cleaned
        assert cleaned.processes == ()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
