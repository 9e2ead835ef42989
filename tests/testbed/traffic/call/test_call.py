"""A call between two browsers, over an emulated link."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from testbed.errors import UserError
from testbed.run.programs import check_programs
from testbed.scenario import parse_scenario


@pytest.mark.root
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
def test_a_call_of_four_seconds(tmp_path: Path) -> None:
    command = ["run", "--flow", "call", "--cc", "app:gcc", "--rate", "2mbit", "--duration", "4s"]
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *command, "--json", "--out", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["video"]["displayed_frames"] > 0
    assert cell["throughput_mbps"] > 0.05
    (folder,) = (tmp_path / "run" / "cells").iterdir()
    told = json.loads((folder / "cell.json").read_text())["flows"][0]
    assert told["carried_bytes"]["udp"] > told["carried_bytes"].get("tcp", 0)
    stats = pd.read_parquet(folder / "call-0.parquet")
    assert (stats["target_bps"].dropna() <= 2.5e6).all()
    assert not list(folder.glob("profile-*"))
    assert not list(folder.glob("*.y4m"))


def test_a_kernel_controller_is_not_a_calls() -> None:
    scenario = parse_scenario({"flow": "call", "cc": ["app:gcc", "cubic"]}, "test")
    with pytest.raises(UserError, match=r"cc 'cubic': a call is under WebRTC's own controller"):
        check_programs(scenario, "relay")
    with pytest.raises(UserError, match=r"call traffic is measured by the relay's packet log"):
        check_programs(scenario, "tc")
