"""The command `league`: tiny leagues for real, resumed, interrupted, on processes and on Ray."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from analysis.league.table import read_table
from testbed.cli.league import league
from testbed.grid.executors import ray_installed

# A steady link: a flow of a second on a fading one may end before any ACK has closed a window.
GRID = """
traces: [{generate: constant, seeds: [1], duration: 4s, parameters: {rate_mbps: 8}}]
schemes: [bbr, policy:light]
rtt: [40ms]
buffer: [2bdp]
traffic: [{flow: bulk, cross_traffic: [{kind: bulk, cc: cubic}]}]
seeds: [1]
per_trace: null
duration: 2s
"""


def invoke(*arguments):
    return CliRunner().invoke(league, [str(argument) for argument in arguments])


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def test_dry_run_creates_nothing(grid, tmp_path):
    result = invoke(grid, "--out", tmp_path / "out", "--set", "seeds=[1,2]", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    planned = json.loads(result.output)
    assert planned["traces"]["constant-seed1"] == {
        "family": "constant",
        "split": "test",
        "scale": 1.0,
    }
    assert [cell["done"] for cell in planned["cells"]] == [False] * 4
    assert not (tmp_path / "out").exists()
    text = invoke(
        grid, "--out", tmp_path / "out", "--dry-run", "--schemes", "bbr,cubic,reno"
    ).output
    assert "3 of 3 cells to run, 6 s of traffic" in text


@pytest.mark.root
@pytest.mark.ebpf
@pytest.mark.parametrize(
    "executor",
    [
        "processes",
        pytest.param(
            "ray", marks=pytest.mark.skipif(not ray_installed(), reason="Ray is not installed")
        ),
    ],
)
def test_a_league_runs_once_and_reports(grid, tmp_path, executor):
    out = tmp_path / "out"
    command = (grid, "--out", out, "--jobs", 2, "--executor", executor, "--json")
    first = invoke(*command)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout) == {"league": str(out), "cells": 2, "done": 2, "failed": 0}
    rows = {row["scheme"]: row for row in read_table(out / "league.parquet").to_pylist()}
    assert set(rows) == {"bbr", "policy:persistence"}
    for row in rows.values():
        assert 0 < row["share"] < 1
        assert row["throughput_mbps"] > 0
    assert rows["policy:persistence"]["decision_p50_ms"] > 0
    # How many of its windows the server answered in time depends on the machine.
    assert 0 <= rows["policy:persistence"]["local_share"] < 1
    assert rows["bbr"]["decision_p50_ms"] is None
    assert "| share against others % |" in (out / "league.md").read_text()
    assert not (out / "runs").exists()

    before = {part: part.stat().st_mtime_ns for part in (out / "cells").iterdir()}
    again = invoke(*command, "--report-only")
    assert again.exit_code == 0, again.output
    assert invoke(*command).exit_code == 0
    assert before == {part: part.stat().st_mtime_ns for part in (out / "cells").iterdir()}


@pytest.mark.root
@pytest.mark.skipif(not ray_installed(), reason="Ray is not installed")
def test_a_cluster_that_is_not_there_is_named_at_once(grid, tmp_path):
    result = invoke(grid, "--out", tmp_path / "out", "--ray-address", "127.0.0.1:1")
    assert "--ray-address 127.0.0.1:1: nobody answers there" in str(result.exception)


@pytest.mark.root
def test_a_cell_that_fails_does_not_stop_the_others(grid, tmp_path):
    # The first kind of traffic cannot start: its cross traffic begins after the end.
    traffic = "[{flow: bulk, cross_traffic: [{kind: bulk, start: 5s}]}, {flow: bulk}]"
    command = (grid, "--out", tmp_path / "out", "--schemes", "bbr", "--set", f"traffic={traffic}")
    result = invoke(*command, "--executor", "processes", "--jobs", 1)
    assert result.exit_code != 0
    assert "1 cells failed; the first:" in str(result.exception)
    assert "it would begin after the end" in str(result.exception)
    assert read_table(tmp_path / "out" / "league.parquet").num_rows == 1


@pytest.mark.root
def test_an_interrupt_leaves_nothing_and_the_next_call_goes_on(grid, tmp_path):
    out = tmp_path / "out"
    argv = [
        sys.executable,
        "-m",
        "testbed",
        "league",
        str(grid),
        "--out",
        str(out),
        "--schemes",
        "bbr,cubic",
    ]
    argv += ["--executor", "processes", "--jobs", "1", "--set", "duration=2s"]
    running = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        limit = time.monotonic() + 60
        while not list(out.glob("cells/*.json")):
            assert time.monotonic() < limit, "no cell finished"
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, errors
    done = len(list(out.glob("cells/*.json")))
    assert done < 2
    result = invoke(*argv[4:], "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["done"] == 2
