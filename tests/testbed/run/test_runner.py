"""`tbtest run` from end to end, as a user calls it: the run folder it leaves, and nothing anywhere
else.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.files import trace_sha256
from analysis.metrics.schema import Metrics
from analysis.pcap import recompute
from policy.python import python_command
from testbed.system.pids import processes_of_run
from testbed.system.state import STATE_DIR
from traces.parquet import read_parquet

pytestmark = pytest.mark.root

TBTEST = [sys.executable, "-m", "testbed"]
QUICK = ["run", "--rate", "5mbit", "--duration", "2s", "--flow", "bulk"]


def on_host() -> tuple[str, str]:
    """Interfaces and namespaces that the host shows by name."""
    names = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout
    return " ".join(sorted(entry.name for entry in Path("/sys/class/net").iterdir())), names


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def traces_of(run_id: str) -> list[str]:
    """Whatever of a run still exists outside its folder."""
    found = [f"process {process.pid}" for process in processes_of_run(run_id)]
    found += [str(path) for path in STATE_DIR.glob(f"*{run_id}*")]
    found += [str(path) for path in Path("/tmp").glob(f"tbtest-*{run_id}*")]
    return found


def started(folder: Path, *extra: str) -> subprocess.Popen[str]:
    arguments = [*TBTEST, *QUICK, "--out", str(folder), *extra]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_cell(folder: Path, process: subprocess.Popen[str]) -> str:
    """Until the first cell's traffic flows; returns the run's id."""
    deadline = time.monotonic() + 60
    while not list(folder.glob("cells/*/goodput-0.raw")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(manifest(folder)["run_id"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with captures; several tests look at it."""
    out = tmp_path_factory.mktemp("runner") / "run"
    before = on_host()
    arguments = [*TBTEST, *QUICK, "--cc", "bbr,cubic", "--pcap", "--out", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "throughput Mbit/s" in done.stdout
    assert f"report: {out / 'report.html'}" in done.stdout
    assert on_host() == before
    return out


def test_the_folder_is_complete(folder: Path) -> None:
    data = manifest(folder)
    assert data["status"] == "done"
    assert {cell["status"] for cell in data["cells"]} == {"done"}
    assert data["scenario"]["rate"] == "5mbit"
    trace = read_parquet(folder / data["trace"]["file"])
    assert data["trace"]["sha256"] == trace_sha256(trace)
    assert traces_of(data["run_id"]) == []
    for cell in data["cells"]:
        names = {path.name for path in (folder / "cells" / cell["folder"]).iterdir()}
        logs = {"packets.parquet", "goodput.parquet", "tcpinfo.parquet"}
        assert names == {"cell.json", "ingress.pcap", "egress.pcap", *logs}


def test_metrics_are_valid_and_name_both_controllers(folder: Path) -> None:
    metrics = Metrics.model_validate_json((folder / "metrics.json").read_text())
    assert {entry.cc for entry in metrics.summary} == {"bbr", "cubic"}
    assert {cell.cc for cell in metrics.cells} == {"bbr", "cubic"}
    for cell in metrics.cells:
        assert 2 < cell.throughput_mbps < 5
        assert cell.utilisation is not None
        assert 0.4 < cell.utilisation <= 1.001
        assert cell.owd_ms.p50 is not None
        assert cell.owd_ms.p50 >= 20  # half of the default 40 ms, and the queue


def test_goodput_agrees_with_the_packets_that_were_delivered(folder: Path) -> None:
    """At the moment when least was held back: behind a lost packet TCP keeps what arrives from the
    application.
    """
    for cell in manifest(folder)["cells"]:
        path = folder / "cells" / cell["folder"]
        packets = pq.read_table(path / "packets.parquet").to_pandas()
        own = packets[(packets["flow"] == 0) & ~packets["ack"] & (packets["verdict"] == 0)]
        own = own.sort_values("deliver_ns")
        goodput = pq.read_table(path / "goodput.parquet").to_pandas().iloc[-100:]  # the last second
        arrived = np.searchsorted(own["deliver_ns"], goodput["at_ns"])
        payload = np.append(0, (own["size_bytes"].astype("int64") - 52).cumsum())[
            arrived
        ]  # IPv4, TCP, timestamps
        ratio = goodput["received_bytes"].to_numpy() / payload
        retransmitted = pq.read_table(path / "tcpinfo.parquet")["bytes_retrans"].to_pylist()[-1]
        assert ratio.max() <= 1.02
        assert (
            ratio.max() >= 0.98 - retransmitted / payload[-1]
        )  # some of what is sent twice arrives twice


def test_captures_agree_with_the_links_log(folder: Path) -> None:
    """Two witnesses: tcpdump's captures through scapy, and what the relay wrote."""
    for cell in manifest(folder)["cells"]:
        path = folder / "cells" / cell["folder"]
        packets = pq.read_table(path / "packets.parquet").to_pandas()
        own = packets[(packets["flow"] == 0) & ~packets["ack"] & (packets["link"] == 0)]
        sent = own[own["verdict"] == 0]
        found = recompute(path / "ingress.pcap", path / "egress.pcap", 2 * 10**9)[0]
        assert found.packets == pytest.approx(len(own), rel=0.01)
        assert found.throughput_mbps == pytest.approx(
            sent["size_bytes"].sum() * 8 / 2 / 1e6, rel=0.01
        )
        assert found.loss_rate == pytest.approx(1 - len(sent) / len(own), abs=0.01)
        owd_ms = (sent["deliver_ns"] - sent["enqueue_ns"]).median() / 1e6
        assert found.owd_ms.p50 == pytest.approx(owd_ms, abs=1.0)


def test_the_report_can_be_rebuilt(folder: Path) -> None:
    before = (folder / "metrics.json").read_bytes()
    done = subprocess.run(
        [*TBTEST, "report", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cc", "no-such-cc"], "cc 'no-such-cc': this kernel does not offer it"),
        (["--flow", "fax"], "unknown traffic kind; known: video, bulk, onoff"),
        (["--set", "rate=null", "--set", "trace=no-such-trace"], "no-such-trace"),
        (["--rate", "fast"], "rate"),
        (["--topology", "ring"], "ring"),
        (["--set", "flow_options.size=1"], "bulk traffic: unknown option 'size'"),
        (["--set", "durration=3s"], "unknown key 'durration'"),
        (["--duration", "1ms"], "too short to measure"),
        (["--buffer", "lots"], "buffer"),
        (["--no-such-flag"], "--no-such-flag"),
        (["no-such-scenario.yaml"], "no-such-scenario.yaml"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_made(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    arguments = [*TBTEST, *QUICK, *flags]
    done = subprocess.run(
        arguments, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    arguments = [*TBTEST, *QUICK, "--out", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "the folder is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_ctrl_c_leaves_nothing_and_the_manifest_says_so(tmp_path: Path) -> None:
    before = on_host()
    folder = tmp_path / "run"
    with started(folder, "--duration", "60s", "--cc", "bbr,cubic") as process:
        try:
            run_id = wait_for_cell(folder, process)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "tbtest: interrupted"
    assert traces_of(run_id) == []
    assert on_host() == before
    data = manifest(folder)
    assert data["status"] == "interrupted"
    assert [cell["status"] for cell in data["cells"]] == ["interrupted", "planned"]


@pytest.mark.parametrize("seed", range(5))
def test_kill_at_a_random_moment_then_clean(tmp_path: Path, seed: int) -> None:
    """Half of the moments lie in the set-up, half in a cell."""
    before = on_host()
    folder = tmp_path / "run"
    others = set(STATE_DIR.glob("*.json")) if STATE_DIR.exists() else set()
    with started(folder, "--duration", "60s") as process:
        try:
            if seed % 2:
                wait_for_cell(folder, process)
            time.sleep(random.Random(seed).uniform(0.0, 1.5))
        finally:
            process.kill()
            process.communicate()
    path = folder / "manifest.json"
    run_id = json.loads(path.read_text())["run_id"] if path.exists() else None
    if run_id is not None and (STATE_DIR / f"{run_id}.json").exists():
        done = subprocess.run(
            [*TBTEST, "clean", "--run", run_id],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
    if run_id is not None:
        assert traces_of(run_id) == []
        assert manifest(folder)["status"] in ("running", "interrupted")
    own = f'"pid": {process.pid},'
    left = set(STATE_DIR.glob("*.json")) - others if STATE_DIR.exists() else set()
    assert not [path for path in left if path.exists() and own in path.read_text()]
    assert on_host() == before


def test_files_named_like_packages_in_the_working_folder_do_not_run(tmp_path: Path) -> None:
    for name in ("agent", "policy", "testbed", "traces", "numpy"):
        (tmp_path / f"{name}.py").write_text('raise SystemExit("the file of the folder ran")')
    flags = [*QUICK, "--cc", "policy:gcc,bbr", "--out", "run"]
    ended = subprocess.run(
        python_command("testbed", *flags), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert [cell["status"] for cell in manifest(tmp_path / "run")["cells"]] == ["done"] * 2
