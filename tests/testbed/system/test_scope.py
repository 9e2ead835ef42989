import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from testbed.errors import UserError
from testbed.system.netns import NetNs
from testbed.system.pids import ProcessId, processes_of_run
from testbed.system.process import ProcessFailed
from testbed.system.scope import Scope
from testbed.system.signals import Interrupted

pytestmark = pytest.mark.root

SPEAK = ["sh", "-c", "echo ready; read word; echo got $word; exec sleep 60"]


@pytest.fixture
def scope(tmp_path: Path):
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


def listed(scope: Scope, key: str) -> list[dict[str, object]]:
    return json.loads((scope._state_dir / f"{scope.run_id}.json").read_text())[key]


def test_process_speaks_and_ends_with_the_scope(tmp_path: Path) -> None:
    with Scope(state_dir=tmp_path) as scope:
        process = scope.spawn(SPEAK, name="echo")
        assert process.read_line(5) == "ready"
        process.write_line("word")
        assert process.read_line(5) == "got word"
        assert [entry["name"] for entry in listed(scope, "processes")] == ["echo"]
        assert process.poll() is None
        assert scope.tmp.is_dir()
        pid = process.pid
    assert ProcessId.of(pid) is None
    assert not scope.tmp.exists()
    assert list(tmp_path.iterdir()) == []


def test_stop_reports_the_status_and_is_repeatable(scope: Scope) -> None:
    process = scope.spawn(["sleep", "60"], name="sleep")
    assert process.stop() == -signal.SIGTERM
    assert process.stop() == -signal.SIGTERM
    deaf = scope.spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], name="deaf"
    )
    deaf.read_line(5)
    assert deaf.stop(timeout_s=0.2) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sh", "-c", "echo oh dear >&2; exit 3"], "ended early with status 3.*oh dear"),
        (["no-such-program"], "status 127.*not found"),
        (["sleep", "60"], "no answer within 0.2 s"),
    ],
)
def test_failures_name_the_process_and_its_log(scope: Scope, argv: list[str], message: str) -> None:
    process = scope.spawn(argv, name="sender h1")
    with pytest.raises(ProcessFailed, match=f"sender h1 .*{message}"):
        process.read_line(0.2 if argv[0] == "sleep" else 5)


def test_writing_to_the_dead_fails(scope: Scope) -> None:
    process = scope.spawn(["true"], name="gone")
    assert process.wait(60) == 0
    with pytest.raises(ProcessFailed, match="gone no longer reads"):
        process.write_line("x")


def test_environment_and_descriptors_are_passed(scope: Scope) -> None:
    read, write = os.pipe()
    process = scope.spawn(
        ["sh", "-c", f"echo $A $TBTEST_RUN; echo x >/dev/fd/{write}"],
        name="env",
        env={"A": "b"},
        pass_fds=[write],
    )
    assert process.read_line(5) == f"b {scope.run_id}"
    assert process.wait(60) == 0
    assert os.read(read, 10) == b"x\n"
    os.close(read)
    os.close(write)


def test_strays_of_processes_end_too(tmp_path: Path) -> None:
    with Scope(state_dir=tmp_path) as scope:
        process = scope.spawn(["sh", "-c", "sleep 60 & echo $!; exec sleep 60"], name="parent")
        stray = ProcessId.of(int(process.read_line(5)))
        assert stray is not None
        process.stop()
        assert stray.alive()
    assert not stray.alive()


def test_order_is_last_in_first_out_also_on_errors(tmp_path: Path) -> None:
    order = []

    def run() -> None:
        with Scope(state_dir=tmp_path) as scope:
            scope.callback(order.append, "first")
            with scope.child("cell") as cell:
                cell.callback(order.append, "cell")
                folder = cell.tmp
            assert not folder.exists()
            scope.callback(order.append, "second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert order == ["cell", "second", "first"]
    assert list(tmp_path.iterdir()) == []


def test_recorded_paths_are_removed(scope: Scope, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    with scope.child("cell") as cell:
        cell.record("pin", str(pin))
        assert {"kind": "pin", "path": str(pin)} in listed(scope, "paths")
        pin.write_text("")
    assert not pin.exists()
    assert str(pin) not in [entry["path"] for entry in listed(scope, "paths")]


def test_the_same_run_twice_is_refused(scope: Scope) -> None:
    with pytest.raises(UserError, match="taken"), Scope(scope.run_id, state_dir=scope._state_dir):
        pass
    assert scope.tmp.is_dir()  # the first one is unharmed


def test_two_scopes_do_not_meet(tmp_path: Path) -> None:
    with Scope(state_dir=tmp_path) as one:
        process = one.spawn(SPEAK, name="same")
        with Scope(state_dir=tmp_path) as two:
            two.spawn(SPEAK, name="same").read_line(5)
            assert one.tmp != two.tmp
        assert process.read_line(5) == "ready"
        assert process.poll() is None


def test_signal_unwinds_and_a_second_one_does_not_stop_that(tmp_path: Path) -> None:
    def again() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGINT)
    scope = Scope(state_dir=tmp_path)

    def run() -> None:
        with scope:
            scope.spawn(["sleep", "60"], name="a")
            scope.callback(again)
            scope.spawn(["sleep", "60"], name="b")
            scope.callback(again)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        run()
    assert list(processes_of_run(scope.run_id)) == []
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_may_not_spawn(scope: Scope) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(scope.spawn, ["true"], name="x").result()


def test_namespaces(scope: Scope) -> None:
    holder = scope.spawn(
        ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 60"], name="namespace"
    )
    holder.read_line(5)
    home = scope.enter(NetNs.current())
    netns = scope.enter(NetNs.of(holder.pid))
    assert netns.cookie != home.cookie
    with netns.inside():
        links = subprocess.run(
            ["ip", "-o", "link"], capture_output=True, text=True, check=True
        ).stdout
        assert NetNs.current().cookie == netns.cookie
    assert len(links.splitlines()) == 1
    assert NetNs.current().cookie == home.cookie
    member = scope.spawn(["sh", "-c", "readlink /proc/self/ns/net"], name="member", netns=netns)
    assert member.read_line(5) == f"net:[{os.fstat(netns.fd).st_ino}]"


def test_a_namespace_needs_no_process() -> None:
    home = NetNs.current()
    with home, NetNs.create() as scratch:
        assert scratch.cookie != home.cookie
        assert NetNs.current().cookie == home.cookie
        with scratch.inside():
            assert os.listdir("/proc/thread-self/net/dev_snmp6") == ["lo"]  # noqa: PTH208


def test_many_may_end_side_by_side(scope: Scope) -> None:
    slow = ["sh", "-c", "trap 'sleep 0.3; exit 7' TERM; echo ready; while :; do sleep 0.01; done"]
    processes = [scope.spawn(slow, name=f"slow {number}") for number in range(3)]
    for process in processes:
        process.read_line(5)
    for process in processes:
        process.terminate()
    assert [process.stop() for process in processes] == [7, 7, 7]


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/proc/no-such-folder")
    with pytest.raises(UserError, match="cannot be created"), Scope(state_dir=tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
