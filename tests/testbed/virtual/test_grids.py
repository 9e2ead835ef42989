"""Leagues and collections in virtual time: a guest for every run, the rest outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.league.table import read_table
from testbed.virtual.kernel import Kernel

GRID = """
traces: [{generate: constant, seeds: [1], duration: 4s, parameters: {rate_mbps: 8}}]
rtt: [40ms]
buffer: [2bdp]
traffic: [{flow: bulk}]
per_trace: null
duration: 2s
"""


def tbtest(*arguments: object, timeout_s: float = 840) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.mark.timeout(900)
def test_a_league_has_a_cell_in_virtual_time(cached: Kernel, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    virtual = ("--virtual", "--executor", "processes", "--json")
    done = tbtest("league", grid, "--schemes", "bbr", "--set", "seeds=[1]", "--out", out, *virtual)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 1
    (row,) = read_table(out / "league.parquet").to_pylist()
    assert row["utilisation"] == pytest.approx(0.9, abs=0.12)
    assert not row["warnings"]
    assert not (out / "runs").exists()


@pytest.mark.timeout(900)
def test_experience_is_collected_in_virtual_time(
    cached: Kernel, grid: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = tbtest("collect", grid, "--cc", "observe:cubic", "--out", out, "--virtual", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["scenarios"], said["failed"]) == (1, 0)
    (part,) = out.glob("*.parquet")
    rows = pq.read_table(part).to_pandas()
    assert len(rows) == said["new_rows"] > 10
    assert set(rows["cc"]) == {"observe:cubic"}
    assert rows["bandwidth_bps"].iloc[-1] == pytest.approx(8e6, rel=0.15)


def test_a_server_outside_is_refused_before_anything_is_made(grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tbtest("league", grid, "--virtual", "--policy-server", "unix:/x", "--out", out)
    assert done.returncode == 2
    assert "a guest reaches no server outside" in done.stderr
    assert not out.exists()
