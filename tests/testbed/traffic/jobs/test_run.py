"""Jobs traffic between namespaces: a worker is killed and no job is lost; and `tbtest run` from end
to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import topologies
from analysis.metrics.schema import Metrics
from testbed.links import backend
from testbed.links.base import Queue
from testbed.network import Bottleneck, build
from testbed.system.process import Process
from testbed.system.scope import Scope
from testbed.traffic import kind
from testbed.traffic.base import FlowSpec, argv, parse_options
from testbed.traffic.collect import merge_logs
from testbed.units import NS_PER_S
from traces.model import constant

OPTIONS = {"jobs": 3, "speed": 200, "load": 10, "shuffle_scale": 1e-5, "scheduler": "cap"}


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[Scope]:
    with Scope(state_dir=tmp_path / "state") as scope:
        yield scope


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def unread(worker: int) -> bool:
    """Whether messages wait for this worker. To be called in its network namespace."""
    command = ["ss", "--unix", "--processes", "--no-header"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    # Columns: type, state, bytes received and not read, ...
    return any(f"pid={worker}," in line and int(line.split()[2]) > 0 for line in lines)


@pytest.mark.root
def test_a_killed_worker_loses_no_job(scope: Scope, tmp_path: Path) -> None:
    topology = topologies.create(topologies.find("dumbbell"), {"flows": 1, "rtt_ns": 4_000_000})
    (tmp_path / "links").mkdir()
    bottleneck = Bottleneck(constant(50e6), Queue(limit_bytes=100_000), seed=1)
    pair = build(topology, backend("relay"), bottleneck, scope, tmp_path / "links").pairs[0]
    jobs = kind("jobs")
    spec = FlowSpec(
        flow=0, kind="jobs", tcp_congestion="cubic", sender_address=pair.sender.address,
        receiver_address=pair.receiver.address, seed=1, log_dir=tmp_path,
        options=parse_options(jobs, OPTIONS).model_dump(mode="json"),
    )  # fmt: skip
    config = scope.tmp / "flow.json"
    config.write_text(spec.model_dump_json())
    ends = [
        scope.spawn(argv(jobs, role, config), name=role, netns=host.netns, log=tmp_path / role)
        for role, host in (("receiver", pair.receiver), ("sender", pair.sender))
    ]
    for process in ends:
        assert process.read_line(120.0) == "ready"
    # The receiver's worker stands still, so that it is killed before its first task is done.
    (worker,) = children(ends[0].pid)
    os.kill(worker, signal.SIGSTOP)
    start_ns = time.monotonic_ns() + 200_000_000
    line = json.dumps({"start_ns": start_ns, "stop_ns": start_ns + 100 * NS_PER_S})
    for process in ends:
        process.write_line(line)
    with pair.receiver.netns.inside():
        deadline = time.monotonic() + 60
        while not unread(worker):
            assert time.monotonic() < deadline, "the worker was given no task"
            time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    _end(ends)
    merge_logs(tmp_path)
    done, tasks = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("jobs", "tasks"))
    assert len(done) == OPTIONS["jobs"]
    assert done["done_ns"].notna().all()
    assert tasks["lost"].any()
    # Every task has run once to its end, on the worker that is left if it was lost.
    ended = tasks[~tasks["lost"]].groupby("job").size()
    assert ended.tolist() == done["tasks"].tolist()
    killed_ns = int(tasks.loc[tasks["lost"], "end_ns"].min())
    assert set(tasks.loc[tasks["start_ns"] > killed_ns, "worker"]) == {1}
    assert jobs.finish(spec) is not None


def _end(ends: list[Process]) -> None:
    """The master ends with the last job; the other end waits for the stop time."""
    ends[1].wait(120.0)
    ends[1].check()
    ends[0].stop()


@pytest.mark.root
def test_a_run_from_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-P", "-m", "testbed", "run", "--flow", "jobs", "--topology", "star"]
    command += ["--flows", "2", "--rate", "20mbit", "--rtt", "4ms", "--duration", "3s"]
    command += ["--cc", "cubic", "--scheduler", "fair", "--out", str(out)]
    options = {**OPTIONS, "speed": 400}
    del options["scheduler"]
    command += ["--set", f"flow_options={json.dumps(options)}", "--set", "stagger=0ms"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    metrics = Metrics.model_validate_json((out / "metrics.json").read_text())
    assert {cell.cc for cell in metrics.cells} == {"cubic + fair"}
    (cell,) = (cell for cell in metrics.cells if cell.jobs is not None)
    assert cell.jobs is not None
    assert cell.jobs.jobs == OPTIONS["jobs"]
    assert cell.jobs.remote_mbytes > 0
    assert 0 < cell.jobs.transfer_share < 1
    assert cell.jobs.policy_share == 0
    # Data to each receiver is its flow's, which the links' log and its own count agree on.
    assert sum(one.throughput_mbps for one in metrics.cells) > 0
    assert all(one.utilisation for one in metrics.cells)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Cluster: cubic + fair" in page
    assert "Job completion times" in page
    entries = json.loads((out / "manifest.json").read_text())["cells"]
    assert [entry["scheduler"] for entry in entries] == ["fair"]
