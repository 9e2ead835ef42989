"""`tbtest run --flow dash` from end to end: three headless sessions, one of them under policies for
both the sending and the levels, answered by one server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.metrics.schema import Metrics

TBTEST = [sys.executable, "-P", "-m", "testbed", "run", "--flow", "dash"]


@pytest.mark.root
def test_three_headless_sessions(tmp_path: Path, manifest: Path) -> None:
    out = tmp_path / "run"
    command = [*TBTEST, "--rate", "4mbit", "--duration", "8s", "--cc", "policy:gcc"]
    command += ["--abr", "policy,robust-mpc,bola", "--out", str(out)]
    command += ["--set", f"flow_options={{video: {manifest}, deadline_ms: 5000}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    metrics = Metrics.model_validate_json((out / "metrics.json").read_text())
    sessions = {cell.abr: cell for cell in metrics.cells}
    assert set(sessions) == {"policy", "robust-mpc", "bola"}
    for abr, cell in sessions.items():
        assert cell.cc == f"policy:gcc + {abr}"
        assert cell.dash is not None
        assert cell.dash.chunks > 2
        assert cell.dash.policy_share == (1.0 if abr == "policy" else 0.0)
        assert cell.dash.startup_s is not None
        assert cell.utilisation is not None
        assert cell.utilisation > 0.1  # the link's log knows the flow by its ports
        assert cell.decisions is not None  # of the congestion controller
        requests = pd.read_parquet(out / "cells" / cell.cell / "requests.parquet")
        chunks = pd.read_parquet(out / "cells" / cell.cell / "chunks.parquet")
        # The last request may still have been under way.
        assert requests["level"].tolist()[: len(chunks)] == chunks["level"].tolist()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("Session: policy:gcc + ") == 3
    entries = json.loads((out / "manifest.json").read_text())["cells"]
    assert {entry["abr"] for entry in entries} == set(sessions)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--abr", "bolo"], "no abr 'bolo'"),
        (["--abr", "dash.js"], "set player to chromium"),
        (["--set", "flow_options={video: /no.json}"], "/no.json: cannot be read"),
        (["--flow", "bulk", "--abr", "bola"], "bulk traffic has no levels to choose"),
        (["--abr", "policy:bola"], "remembers earlier chunks"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], says: str) -> None:
    command = [*TBTEST, "--rate", "4mbit", *arguments, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 2
    assert done.stderr.startswith("tbtest: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
