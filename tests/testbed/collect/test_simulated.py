"""Simulated experience: which scenarios, and rows that a learner can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy.tasks.congestion import schema
from testbed.collect.collection import plan
from testbed.collect.grid import Grid
from testbed.collect.simulated import left, run_simulated, simulable
from testbed.errors import UserError

GRID = {
    "traces": [{"generate": "lte", "seeds": [1, 2], "duration": "20s"}],
    "controllers": ["policy:gcc", "observe:cubic"],
    "rtt": ["40ms"],
    "buffer": ["4bdp"],
    "traffic": [{"flow": "video"}, {"flow": "bulk", "flows": 2}],
    "duration": "3s",
    "max_mean_rate": "10mbit",
    "splits": {"validation": [], "test": ["lte-seed2"]},
}


def test_single_flows_on_training_traces_are_simulated(tmp_path: Path) -> None:
    collection = plan(Grid.model_validate(GRID), (), tmp_path)
    runs = simulable(collection.runs)
    assert [(run.source_trace, run.scenario["flow"]) for run in runs] == [("lte-seed1", "video")]
    every = simulable(collection.runs, ("train", "test"))
    assert [run.source_trace for run in every] == ["lte-seed1", "lte-seed2"]
    collection.write()
    ended = []
    run_simulated(runs, tmp_path, ended.append)
    assert left(runs, tmp_path) == []
    table = schema.read(tmp_path)
    assert [(batch.runs, batch.rows) for batch in ended] == [(1, table.num_rows)]
    assert set(table["cc"].to_pylist()) == set(GRID["controllers"])
    assert set(table["split"].to_pylist()) == {"train"}
    label = table["near_optimal_log2"].to_numpy()
    assert np.all(np.abs(label) <= 1)
    assert label.std() > 0.05
    rate = label + np.log2(table["bandwidth_bps"].to_numpy())
    exact = np.abs(label) < 1
    assert rate[exact] == pytest.approx(
        np.log2(table["near_optimal_bps"].to_numpy())[exact], abs=1e-3
    )


def test_what_cannot_be_simulated_is_refused(tmp_path: Path) -> None:
    collection = plan(Grid.model_validate(GRID | {"controllers": ["observe:aimd"]}), (), tmp_path)
    collection.write()
    with pytest.raises(UserError, match="observe:aimd"):
        run_simulated(simulable(collection.runs), tmp_path, lambda batch: None)
