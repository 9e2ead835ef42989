"""One cell in virtual time, twice: the same bytes, the same table as live, without root's help."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.metrics.schema import Metrics
from testbed.virtual.kernel import Kernel

TBTEST = [sys.executable, "-m", "testbed"]
QUICK = ["run", "--virtual", "--rate", "5mbit", "--duration", "2s", "--flow", "bulk"]


def run(out: Path, *extra: str, cc: str = "bbr,policy:gcc") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TBTEST, *QUICK, "--cc", cc, "--out", str(out), *extra],
        capture_output=True,
        text=True,
        check=False,
        timeout=420,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


@pytest.mark.timeout(900)
def test_a_cell_runs_and_repeats_byte_for_byte(cached: Kernel, tmp_path: Path) -> None:
    first = run(tmp_path / "first")
    assert first.returncode == 0, first.stderr
    assert "throughput Mbit/s" in first.stdout
    manifest = json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert manifest["status"] == "done"
    environment = manifest["environment"]
    assert environment["kernel"] == cached.version
    said = environment["virtual_time"]["kernel_configuration_sha256"]
    assert said == cached.configuration_sha256

    second = run(tmp_path / "second", "--json")
    assert second.returncode == 0, second.stderr
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    assert len(digests(tmp_path / "first")) >= 10

    metrics = Metrics.model_validate_json(second.stdout)
    assert metrics.warnings == []
    cell, policy = metrics.cells
    assert cell.throughput_mbps == pytest.approx(5 * 1448 / 1500, rel=0.1)
    assert policy.decisions is not None
    assert policy.decisions.local_share == 0
    assert metrics.link.delay_error_ms.p99 is not None
    assert metrics.link.delay_error_ms.p99 < 0.02


@pytest.mark.timeout(120)
def test_what_a_guest_refuses_is_one_line(cached: Kernel, tmp_path: Path) -> None:
    # Expectations are checked in the guest, by code that imports pandas.
    done = run(tmp_path / "refused", "--expect", "nosuch <= 1", cc="bbr")
    assert done.returncode == 2
    assert "'nosuch' is no metric" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "refused").exists()


@pytest.mark.timeout(120)
def test_ipv6_is_refused(cached: Kernel, tmp_path: Path) -> None:
    done = run(tmp_path / "six", "--ipv6")
    assert done.returncode == 2
    assert done.stderr.startswith("tbtest: ip: 6:")
    assert not (tmp_path / "six").exists()


def test_a_held_run_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "held", "--hold")
    assert done.returncode == 2
    assert done.stderr.startswith("tbtest: --hold:")
