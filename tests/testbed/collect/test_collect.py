"""The command `collect`: a tiny grid for real, resumed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from policy.tasks.congestion.schema import read
from testbed.cli.collect import collect

GRID = """
traces: [{generate: lte, seeds: [1], duration: 4s}, steps]
controllers: [observe:bbr, policy:explore, policy:oracle]
rtt: [40ms]
buffer: [2bdp]
traffic: [{flow: bulk}]
duration: 2s
splits: {validation: [steps], test: []}
"""


def invoke(*arguments):
    return CliRunner().invoke(collect, [str(argument) for argument in arguments])


def test_dry_run_creates_nothing(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    result = invoke(tmp_path / "grid.yaml", "--out", tmp_path / "data", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    planned = json.loads(result.output)
    assert planned["traces"]["steps"] == {"family": "steps", "split": "validation"}
    assert [scenario["done"] for scenario in planned["scenarios"]] == [False, False]
    assert not (tmp_path / "data").exists()


@pytest.mark.root
@pytest.mark.ebpf
def test_a_grid_becomes_a_dataset_and_is_not_run_twice(tmp_path):
    (tmp_path / "grid.yaml").write_text(GRID)
    command = (tmp_path / "grid.yaml", "--out", tmp_path / "data", "--jobs", 2, "--json")
    first = invoke(*command)
    assert first.exit_code == 0, first.output
    table = read(tmp_path / "data")
    assert json.loads(first.stdout)["new_rows"] == table.num_rows > 2 * 3 * 10
    pairs = set(zip(table["source_trace"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert pairs == {("lte-seed1", "train"), ("steps", "validation")}
    assert set(table["cc"].to_pylist()) == {"observe:bbr", "policy:explore", "policy:oracle"}
    assert not list((tmp_path / "data" / "runs").iterdir())

    part = next((tmp_path / "data").glob("steps-*.parquet"))
    part.unlink()
    second = invoke(*command)
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout)["done_before"] == 1
    assert part.exists()
