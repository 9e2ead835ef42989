"""Programs as traffic, from end to end: measured by their packets, and gone when they should be."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.metrics.schema import Metrics
from testbed.run.hosts import running_nodes
from testbed.system.pids import processes_of_run
from testbed.system.state import STATE_DIR

pytestmark = pytest.mark.root

TBTEST = [sys.executable, "-m", "testbed"]
QUICK = ["run", "--rate", "5mbit", "--duration", "2s", "--cc", "cubic", "--rtt", "20ms"]
# A UDP flow of 100 datagrams a second, written here so that the test needs nothing installed.
RECEIVE = """import socket,sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", int(sys.argv[1])))
print("bound", flush=True)
while True: s.recv(2000)"""
SEND = """import socket,sys,time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); end = time.monotonic() + float(sys.argv[3])
to = (sys.argv[1], int(sys.argv[2]))
while time.monotonic() < end: s.sendto(bytes(1000), to); time.sleep(.01)"""


def run(out: Path, sender: str, receiver: str, *extra: str) -> subprocess.CompletedProcess[str]:
    command = [*TBTEST, *QUICK, "--sender", sender, "--receiver", receiver, "--out", str(out)]
    return subprocess.run(
        [*command, *extra], capture_output=True, text=True, check=False, timeout=115
    )


@pytest.fixture
def udp(tmp_path: Path) -> tuple[str, str]:
    """Command lines of a sender and a receiver."""
    (tmp_path / "send.py").write_text(SEND)
    (tmp_path / "receive.py").write_text(RECEIVE)
    python = sys.executable
    return (
        f"{python} {tmp_path}/send.py {{receiver}} {{port}} {{duration}}",
        f"{python} {tmp_path}/receive.py {{port}}",
    )


def nothing_left(out: Path) -> None:
    run_id = json.loads((out / "manifest.json").read_text())["run_id"]
    assert [process.pid for process in processes_of_run(run_id)] == []
    assert list(STATE_DIR.glob(f"*{run_id}*")) == []


def test_a_udp_program_is_measured_by_its_packets(tmp_path: Path, udp: tuple[str, str]) -> None:
    out = tmp_path / "run"
    done = run(
        out, *udp, "--set", "flow_options.ready=line:bound", "--set", "flow_options.grace_s=0.2"
    )
    assert done.returncode == 0, done.stderr
    cell = next((out / "cells").iterdir())
    flow = json.loads((cell / "cell.json").read_text())["flows"][0]
    assert set(flow["carried_bytes"]) == {"udp"}
    packets = pq.read_table(cell / "packets.parquet").to_pandas()
    own = packets[(packets["flow"] == 0) & (packets["link"] == 0) & ~packets["ack"]]
    assert set(own["payload_bytes"]) == {1000}
    assert set(own["size_bytes"]) == {1028}
    metrics = Metrics.model_validate_json((out / "metrics.json").read_text()).cells[0]
    arrived = (own["deliver_ns"] <= flow["stop_ns"]).sum()
    assert metrics.throughput_mbps == pytest.approx(arrived * 8000 / 2e6, rel=0.02)
    assert metrics.utilisation is not None
    ends = json.loads((cell / "command-0.json").read_text())
    # Where the machine was too busy for it to end within its grace, SIGTERM ended it.
    assert ends["sender"]["status"] == (-15 if ends["sender"]["stopped"] else 0)
    assert ends["receiver"]["stopped"]
    assert (cell / "command-0-receiver.out").read_text() == "bound\n"
    nothing_left(out)


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is not installed")
def test_iperf3_runs_under_the_cells_controller(tmp_path: Path) -> None:
    sender = "iperf3 -c {receiver} -p {port} -t {duration} --json"
    done = run(tmp_path / "run", sender, "iperf3 -s -1 -p {port}")
    assert done.returncode == 0, done.stderr
    cell = next((tmp_path / "run" / "cells").iterdir())
    told = json.loads((cell / "command-0-sender.out").read_text())["end"]
    assert told["sender_tcp_congestion"] == "cubic"
    metrics = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text()).cells[0]
    # iperf3 divides by its own, longer time; what the links saw is at most the link's rate.
    received_mbps = told["sum_received"]["bits_per_second"] / 1e6
    assert metrics.throughput_mbps == pytest.approx(received_mbps, rel=0.25)
    assert metrics.throughput_mbps < 5


SLEEP = "sleep 60"


@pytest.mark.parametrize(
    ("sender", "receiver", "extra", "told"),
    [
        ("nosuch -x", SLEEP, (), "sender: there is no program 'nosuch' here"),
        (SLEEP, "sh -c 'echo why >&2; exit 3'", (), "ended with status 3 before it was ready: why"),
        (SLEEP, "true", (), "the receiver's command ended before it was ready"),
        (SLEEP, SLEEP, ("flow_options.ready_timeout_s=0.5",), "was not bound to port 5000 within"),
        (
            SLEEP,
            "echo hello",
            ("flow_options.ready=line:goodbye",),
            "ended before it was ready: hello",
        ),
        (
            "sh -c 'sleep 0.3; exit 4'",
            SLEEP,
            ("flow_options.ready=started",),
            "with status 4 during",
        ),
        ("yes flood", SLEEP, ("flow_options.ready=started",), "more than 64 MB of output"),
        ("true", SLEEP, ("flow_options.ready=started",), "no packet passed between"),
        ("nc {reciever}", SLEEP, (), "{reciever} is not known"),
        (SLEEP, SLEEP, ("flow_options.ready=when",), "none of port, started and line:TEXT"),
    ],
)
def test_a_bad_command_is_one_clear_line(
    tmp_path: Path, sender: str, receiver: str, extra: tuple[str, ...], told: str
) -> None:
    out = tmp_path / "run"
    settings = ["flow_options.grace_s=0", *extra]
    flags = [word for setting in settings for word in ("--set", setting)]
    done = run(out, sender, receiver, *flags, "--json")
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert told in lines[0]
    if out.exists():
        nothing_left(out)


def test_a_daemon_ends_with_its_program(tmp_path: Path, udp: tuple[str, str]) -> None:
    mark = tmp_path / "daemon.pid"
    daemon = f"setsid sh -c 'echo $$ > {mark}; exec sleep 300' & exec "
    (tmp_path / "receiver.sh").write_text(daemon + udp[1].replace("{port}", "$1"))
    done = run(
        tmp_path / "run",
        udp[0],
        f"sh {tmp_path}/receiver.sh {{port}}",
        "--set",
        "flow_options.grace_s=0",
    )
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_a_held_scenario_is_open_to_a_shell(tmp_path: Path, udp: tuple[str, str]) -> None:
    out = tmp_path / "run"
    command = [*TBTEST, *QUICK, "--sender", udp[0], "--receiver", udp[1], "--out", str(out)]
    with subprocess.Popen(
        [*command, "--hold"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as held:
        assert held.stderr is not None
        line = held.stderr.readline()
        while "held:" not in line:
            assert line, "it ended before it was held"
            line = held.stderr.readline()
        run_id = json.loads((out / "manifest.json").read_text())["run_id"]
        nodes = {node.name: node for node in running_nodes() if node.run_id == run_id}
        assert set(nodes) == {"s1", "d1", "left", "right"}
        target = nodes["d1"].address
        assert target is not None
        ping = subprocess.run(
            [*TBTEST, "shell", "--run", run_id, "s1", "ping", "-c", "1", target],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert ping.returncode == 0, ping.stderr
        assert "1 received" in ping.stdout
        absent = subprocess.run(
            [*TBTEST, "shell", "--run", run_id, "s9"], capture_output=True, text=True, check=False
        )
        assert absent.returncode == 2
        assert "known: d1, left, right, s1" in absent.stderr
        time.sleep(0.2)
        held.send_signal(signal.SIGINT)
        assert held.wait(30) == 0
    assert (out / "report.html").exists()
    nothing_left(out)
