"""`tbtest stress`: what it lists, and what it says of cells that are done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.cli.stress import stress
from testbed.stress.plan import plan
from tests.analysis.stress.test_stress import row


def test_the_list_tells_what_is_done_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    arguments = ["--only", "single", "--seeds", "1", "--cc", "policy:gcc,bbr", "--dry-run"]
    arguments += ["--out", str(tmp_path / "new")]
    told = CliRunner().invoke(stress, arguments)
    assert told.output.splitlines()[-1] == "10 of 10 cells to run, 140 s of traffic"
    listed = json.loads(CliRunner().invoke(stress, [*arguments, "--json"]).output)
    assert {cell["failures"] for cell in listed} == {
        "loss", "capacity", "route", "reverse", "server", "worker",
    }  # fmt: skip
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("recovery_s", "status"), [(1.0, 0), (None, 1)])
def test_the_exit_status_says_whether_a_policy_collapses(
    tmp_path: Path, recovery_s: float | None, status: int
) -> None:
    data = {"cc": ["policy:gcc", "bbr"], "seeds": [1]}
    planned = plan(data, "test", ["loss"], tmp_path)
    planned.write()
    for cell in planned.cells:
        policy = cell.about["cc"] != "bbr"
        measured = row(cell.about["cc"], recovery_s=recovery_s if policy else 1.0)
        planned.finish(cell, {key: measured[key] for key in measured if key not in cell.about})
    arguments = ["--only", "loss", "--seeds", "1", "--cc", "policy:gcc,bbr", "--report-only"]
    told = CliRunner().invoke(stress, [*arguments, "--out", str(tmp_path)])
    assert told.exit_code == status, told.output
    assert "2 of 2 cells are done" in told.output
    assert (tmp_path / "stress.html").exists()


def test_virtual_time_says_what_it_leaves_out() -> None:
    arguments = ["--virtual", "--only", "single", "--seeds", "1", "--cc", "policy:gcc", "--dry-run"]
    told = CliRunner().invoke(stress, arguments)
    assert [line.split(":")[0] for line in told.output.splitlines()] == [
        "loss", "capacity", "route", "reverse",
        "sets with a killed server or worker are left out",
        "4 of 4 cells to run, 56 s of traffic",
    ]  # fmt: skip


def test_mistakes_are_named() -> None:
    told = CliRunner().invoke(stress, ["--set", "capacity=0", "--dry-run"])
    assert "command line: capacity" in str(told.exception)
