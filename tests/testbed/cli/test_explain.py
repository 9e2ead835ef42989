"""`tbtest explain` from a folder alone: what it writes, and what it says of folders of no use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from analysis.files import CELL, CELLS, INPUTS, MANIFEST
from policy.tasks.congestion import logged
from testbed.cli.explain import explain
from testbed.errors import UserError

AGENT, WINDOWS = "tbtest0", 420
MS = 1_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one flow whose queue goes up and down, decided by a rule policy."""
    folder = tmp_path_factory.mktemp("run")
    cell = folder / CELLS / "000-policy-r0"
    cell.mkdir(parents=True)
    (folder / INPUTS).mkdir()
    entry = {"folder": cell.name, "cc": "policy:gcc", "status": "done"}
    manifest = {"schema": 1, "scenario": {}, "trace": {"name": "t"}, "environment": {}}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"cells": [entry]}))
    record = {"schema": 1, "cc": "policy:gcc", "repeat": 0, "seed": 1, "start_ns": 0}
    record |= {"stop_ns": 60_000 * MS, "flows": [], "links": [], "tcp_congestion": AGENT}
    (cell / CELL).write_text(json.dumps(record))
    rows = np.zeros(WINDOWS, logged.ROWS)
    rows["window"] = np.arange(WINDOWS)
    rows["end_ns"], rows["known"] = (rows["window"] + 1) * 100 * MS, rows["window"] + 1
    rows["generation"], rows["model"] = 1, -1
    rows["rule_pacing_rate_bps"] = rows["rule_cwnd_packets"] = 9.0
    rows["model_pacing_rate_bps"] = rows["model_cwnd_packets"] = np.nan
    rows["queueing_delay_ns"] = 40 * MS * (1 + np.sin(np.arange(WINDOWS) / 9))
    rows["rtt_mean_ns"] = rows["rtt_min_ns"] = rows["srtt_ns"] = 40 * MS + rows["queueing_delay_ns"]
    rows["min_rtt_ns"], rows["bandwidth_bps"], rows["delivery_rate_bps"] = 40 * MS, 5e6, 4.8e6
    rows["duration_ns"], rows["acks"], rows["mss_bytes"] = 100 * MS, 40, 1448
    logged.write_part(folder / INPUTS / logged.part_name(0), rows, [AGENT])
    return folder


def test_decisions_and_a_tree_are_explained(run: Path, tmp_path: Path) -> None:
    arguments = [str(run), "--policy", "persistence", "--decisions", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(explain, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "tree of" in done.output
    told = json.loads((tmp_path / "explain.json").read_text())
    assert told["attribution"] == "occlusion"
    assert len(told["decisions"]) == 2
    assert told["deletion_octaves"]["occlusion"] >= told["deletion_octaves"]["random"]
    assert told["tree"]["held_out_r2"] > 0.5
    page = (tmp_path / "explain.html").read_text()
    assert "Why persistence decided as it did" in page
    assert "class Tree" in (tmp_path / "tree.py").read_text()


def test_the_window_before_a_time_is_explained(run: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ends = (np.arange(WINDOWS) + 1) * 100 * MS
    table = {"flow": np.zeros(WINDOWS, np.int16), "generation": np.ones(WINDOWS, np.uint32)}
    table |= {"window_end_ns": ends}
    pq.write_table(pa.table(table), run / CELLS / "000-policy-r0" / "decisions.parquet")
    arguments = [str(run), "--policy", "persistence", "--flow", "0", "--at", "3.25", "--json"]
    done = CliRunner().invoke(explain, [*arguments, "--out", str(tmp_path)], catch_exceptions=False)
    (decision,) = json.loads(done.output)["decisions"]
    assert decision["decision"] == "policy:gcc, slot 0 at 3.2 s"
    for wrong in (["--flow", "7", "--at", "3"], ["--flow", "0", "--at", "0.01"]):
        with pytest.raises(
            UserError, match="no logged window of it before; flows of 000-policy-r0"
        ):
            CliRunner().invoke(explain, [str(run), *wrong], catch_exceptions=False)


def test_a_flow_without_a_time_and_a_cell_that_is_none_are_refused(run: Path) -> None:
    with pytest.raises(UserError, match="give both or neither"):
        CliRunner().invoke(explain, [str(run), "--flow", "0"], catch_exceptions=False)
    with pytest.raises(UserError, match="no such cell with logged inputs; 000-policy-r0"):
        CliRunner().invoke(explain, [str(run), "--cell", "x"], catch_exceptions=False)


def test_without_logged_inputs_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--log-inputs"):
        CliRunner().invoke(explain, [str(tmp_path)], catch_exceptions=False)
