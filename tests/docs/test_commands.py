"""Every command and every Python block of the README and the guides runs as it stands there.

Commands of a page run in one folder, in order, so that one may use what an earlier one has made.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.league.table import to_table
from tests.analysis.league.rows import row
from tests.docs.pages import PAGES, ROOT, blocks, commands, file_name

# test_guide_export.py, test_guide_commands.py and tests/testbed/run/test_programs.py run these.
ELSEWHERE = {f"{name}.md" for name in ("export", "programs", "directions", "queues", "ci", "shell")}
COMMANDS = [page for page in PAGES if page.name not in ELSEWHERE and blocks(page, "sh")]
PYTHON = [page for page in PAGES if page.name != "export.md" and blocks(page, "python")]
_SHIMS = {
    "tbtest": f'exec {sys.executable} -P -m tests.docs.short "$@"',
    "python": f'exec {sys.executable} "$@"',
    "sudo": 'exec "$@"',
    "make": f'exec /usr/bin/make --dry-run -C {ROOT} "$@"',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: the checkout's examples and grids, recordings, and a league's table."""
    for name in ("examples", "grids", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    opportunities = "".join(f"{ms}\n" for ms in range(1, 4001))
    (tmp_path / "my.trace").write_text(opportunities)
    (tmp_path / "drive.kb").write_text("500\n750\n250\n")
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    seconds = "".join(f"{{}}{s},{3 + s % 4}\n" for s in range(1, 60))
    for number in (1, 2):
        text = seconds.replace("{}", "")
        (recorded / f"walk-{number}.csv").write_text(f"time_s,capacity_mbps\n0,{number}\n{text}")
    (tmp_path / "simulated").mkdir()
    for name in ("monday", "quick"):
        (tmp_path / name).mkdir()
        pq.write_table(to_table([row("a1", "bbr")]), tmp_path / name / "league.parquet")
    _streaming(tmp_path)
    (tmp_path / "drive.down.gz").write_bytes(gzip.compress(opportunities.encode()))
    shims = tmp_path / "bin"
    shims.mkdir()
    for name, line in _SHIMS.items():
        (shims / name).write_text(f"#!/bin/sh\n{line}\n")
        (shims / name).chmod(0o755)
    return tmp_path


def _streaming(folder: Path) -> None:
    """A video, bandwidth logs in the places that the guide names, and a trained network."""
    ladder = [300, 750, 1200]
    manifest = {
        "name": "test",
        "segment_duration_ms": 4000,
        "bitrates_kbps": ladder,
        "segment_sizes_bits": [[kbps * 4000 for kbps in ladder]] * 12,
    }
    (folder / "video.json").write_text(json.dumps(manifest))
    random = np.random.default_rng(1)
    for place in ("traces", "training", "held-out", "logs"):
        (folder / place).mkdir()
        for number in range(6):
            rates = random.uniform(0.4, 3.0, 320)
            text = "".join(f"{second}\t{rate:.3f}\n" for second, rate in enumerate(rates))
            if place == "logs":
                (folder / place / f"{number}.gz").write_bytes(gzip.compress(text.encode()))
            else:
                (folder / place / f"{place}-{number}").write_text(text)
    shipped = ROOT / "policy" / "tasks" / "abr" / "checkpoints" / "mlp.safetensors"
    (folder / "my.safetensors").write_bytes(shipped.read_bytes())


def _needs(page: Path) -> None:
    """Skip a page whose programs are not here."""
    text = page.read_text()
    if "iperf3 -c" in text and shutil.which("iperf3") is None:
        pytest.skip("iperf3 is not installed")
    if "--flow call" in text and shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    if "quic.py" in text and importlib.util.find_spec("aioquic") is None:
        pytest.skip("aioquic is not installed: pip install aioquic")


def _environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    return {**os.environ, **home, "PATH": path, "PYTHONPATH": str(ROOT)}


def _ended(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.root
@pytest.mark.ebpf
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.name)
def test_the_commands_run(page: Path, folder: Path) -> None:
    _needs(page)
    for language in ("python", "yaml"):
        for block in blocks(page, language):
            if name := file_name(block):
                (folder / name).write_text(block)
    for line in commands(page):
        done = _ended(folder, "/bin/bash", "-c", line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_the_python_runs(page: Path, folder: Path) -> None:
    for block in blocks(page, "python"):
        done = _ended(folder, sys.executable, "-c", block)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
