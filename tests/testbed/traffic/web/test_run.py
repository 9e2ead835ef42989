"""Web transfers over a live link."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.files import read_cell
from analysis.metrics.schema import Metrics
from testbed.run.plan import cell_seed
from testbed.traffic.web.options import WebOptions, transfers


def measured_stop_ns(cell: Path) -> int:
    (flow,) = read_cell(cell).flows
    return flow.stop_ns


@pytest.mark.root
def test_every_transfer_of_a_run_is_accounted_for(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "testbed", "run", "--cc", "cubic", "--rate", "20mbit",
            "--flow", "web", "--duration", "2s", "--out", tmp_path / "run",
            "--set", "flow_options={arrivals_per_s: 40, max_bytes: 100000}",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (cell,) = (tmp_path / "run" / "cells").iterdir()
    rows = pq.read_table(cell / "transfers.parquet").sort_by("arrival_ns").to_pylist()
    metrics = Metrics.model_validate_json((tmp_path / "run" / "metrics.json").read_text())
    (measured,) = metrics.cells
    assert measured.web is not None
    seeds = iter(
        transfers(WebOptions(arrivals_per_s=40, max_bytes=100_000), cell_seed(measured.seed, 0))
    )
    assert [row["size_bytes"] for row in rows] == [next(seeds).size_bytes for _ in rows]
    assert measured.web.transfers == len(rows) > 20
    # In 2 s no transfer has a fair chance, so that the others are those that were cut off.
    assert measured.web.completed_share is None
    complete = [row for row in rows if (row["completed_ns"] or math.inf) <= measured_stop_ns(cell)]
    assert measured.web.cut_off == len(rows) - len(complete)
    done = [row for row in rows if row["completed_ns"] is not None]
    # Two round trips of 40 ms at least: the handshake, then the request.
    assert min(row["completed_ns"] - row["arrival_ns"] for row in done) >= 80_000_000
    packets = pq.read_table(cell / "packets.parquet")
    data = packets.filter((packets["flow"].to_numpy() == 0) & ~packets["ack"].to_numpy())
    payload = sum(data["payload_bytes"].to_pylist())
    assert payload >= sum(row["size_bytes"] for row in done)
