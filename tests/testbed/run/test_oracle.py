"""`--cc policy:oracle` for real: its own server beside the run's, and a queue that stays small over
a step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.metrics.schema import Metrics

pytestmark = [pytest.mark.root, pytest.mark.ebpf]

STEP = "0,12\n2,3\n"


def test_the_oracle_foresees_a_step(tmp_path: Path) -> None:
    trace = tmp_path / "down.csv"
    trace.write_text("time_s,capacity_mbps\n" + STEP)
    out = tmp_path / "run"
    flags = [
        "--cc",
        "policy:oracle,policy:gcc",
        "--trace",
        str(trace),
        "--flow",
        "bulk",
        "--duration",
        "4s",
    ]
    command = [sys.executable, "-m", "testbed", "run", *flags, "--flows", "2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for folder in (out / "cells").iterdir():
        cell = json.loads((folder / "cell.json").read_text())
        tiers = set(pq.read_table(folder / "decisions.parquet")["tier"].to_pylist())
        assert cell["cc"].removeprefix("policy:") in tiers
    metrics = Metrics.model_validate_json((out / "metrics.json").read_text())
    flows = [cell for cell in metrics.cells if cell.cc == "policy:oracle"]
    assert len(flows) == 2
    for flow in flows:
        assert flow.qdelay_ms.p95 is not None
        assert (
            flow.qdelay_ms.p95 < 100
        )  # the buffer holds 8 BDP: 320 ms at the mean rate, 0.8 s after the step
    assert sum(flow.utilisation or 0 for flow in flows) > 0.75
