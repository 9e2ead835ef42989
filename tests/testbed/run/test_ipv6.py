"""A run over IPv6: the same flows, known by the same ports and addresses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.metrics.schema import Metrics
from testbed.run.classify import address_number


@pytest.mark.root
def test_a_run_over_ipv6_is_measured_as_one_over_ipv4(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "testbed", "run", "--cc", "cubic", "--rate", "10mbit", "--ipv6",
            "--flow", "bulk", "--duration", "2s", "--ecn", "--queue", "fq_codel",
            "--out", tmp_path / "run",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    metrics = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    (measured,) = metrics.cells
    assert measured.utilisation is not None
    assert measured.utilisation > 0.5
    (cell,) = (tmp_path / "run" / "cells").iterdir()
    packets = pq.read_table(cell / "packets.parquet")
    data = packets.filter((packets["flow"].to_numpy() == 0) & ~packets["ack"].to_numpy())
    # The sender's link is the third that the dumbbell declares, sorted by its nodes' names.
    assert set(data["source"].to_pylist()) == {address_number("fd74:6274:6573:7400::a00:201")}
    assert max(data["payload_bytes"].to_pylist()) == 1500 - 40 - 32  # IPv6, TCP with timestamps
    assert any(data["marked"].to_pylist())
