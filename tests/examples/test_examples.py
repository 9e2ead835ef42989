"""Each example runs by the command that its first lines name, for two seconds."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    file for file in (ROOT / "examples").iterdir() if "sudo tbtest run" in file.read_text()
)


def command(file: Path) -> list[str]:
    """The arguments of `tbtest` in the file's first lines."""
    found = re.search(r"^[ #*]*sudo tbtest (run .*)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])


def prepare(file: Path, folder: Path) -> None:
    """Run the shell lines that make the example's input, in a folder that holds examples/."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for line in re.findall(r"^[ #*]*(printf .*)$", file.read_text(), re.MULTILINE):
        subprocess.run(["/bin/sh", "-c", line], cwd=folder, check=True)


def test_they_are_found() -> None:
    names = {file.name for file in EXAMPLES}
    assert {"my_policy.py", "my_controller.bpf.c", "my_topology.py", "my_traffic.py"} <= names
    assert "lossy-lte.yaml" in names


@pytest.mark.root
@pytest.mark.ebpf
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_it_runs(file: Path, tmp_path: Path) -> None:
    prepare(file, tmp_path)
    out = tmp_path / "run"
    short = ["--duration", "2s", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "testbed", *command(file), *short],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert {cell["status"] for cell in manifest["cells"]} == {"done"}
    # Nothing of the run's own stays in the kernel.
    for cell in manifest["cells"]:
        about = json.loads((out / "cells" / cell["folder"] / "cell.json").read_text())
        if re.fullmatch(r"tb[0-9a-f]{6}", about["tcp_congestion"]):
            offered = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text()
            assert about["tcp_congestion"] not in offered.split()
