"""Several leagues in one report."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from analysis.errors import AnalysisError
from analysis.league.table import pooled, read_table, to_table
from testbed.cli.league import league
from testbed.errors import UserError
from testbed.league.pool import pool
from tests.analysis.league.rows import row


@pytest.fixture
def leagues(tmp_path):
    """Two, which share scenario a1 but not its numbers."""
    folders = []
    for name, scenarios in (("monday", ("a1", "b1")), ("tuesday", ("a1", "c1"))):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        rows = [
            row(each, scheme, bitrate_mbps=5.0) for each in scenarios for scheme in ("bbr", "cubic")
        ]
        pq.write_table(to_table(rows), folders[-1] / "league.parquet")
    return folders


def test_what_both_ran_is_a_pair_in_each(leagues):
    table = pooled([read_table(folder / "league.parquet") for folder in leagues])
    names = table["scenario"].to_pylist()
    assert names == ["a1", "a1", "b1", "b1", "a1 (2)", "a1 (2)", "c1", "c1"]


def test_folders_and_tables_in_one_report(leagues, tmp_path):
    assert pool([leagues[0], leagues[1] / "league.parquet"], tmp_path / "both", None) == 8
    assert read_table(tmp_path / "both" / "league.parquet").num_rows == 8
    text = (tmp_path / "both" / "league.md").read_text()
    assert "8 cells of 2 leagues" in text
    assert "4 scenarios on 3 traces" in text


def test_no_table_is_overwritten(leagues):
    before = (leagues[0] / "league.parquet").read_bytes()
    with pytest.raises(UserError, match="would be overwritten"):
        pool(leagues, leagues[0], None)
    assert (leagues[0] / "league.parquet").read_bytes() == before


def test_no_table_counts_twice(leagues, tmp_path):
    with pytest.raises(UserError, match="named twice"):
        pool([leagues[0], leagues[1], leagues[0] / "league.parquet"], tmp_path / "both", None)
    assert not (tmp_path / "both").exists()


def test_what_is_no_table_is_named(leagues, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnalysisError, match=r"empty/league\.parquet"):
        pool([*leagues, tmp_path / "empty"], tmp_path / "both", None)
    assert not (tmp_path / "both").exists()


def test_by_the_command(leagues, tmp_path):
    told = ["--pool", str(leagues[0]), "--pool", str(leagues[1]), "--out", str(tmp_path / "both")]
    answer = CliRunner().invoke(league, told)
    assert answer.exit_code == 0, answer.output
    assert "8 of 8 cells" in answer.output
    answer = CliRunner().invoke(league, ["grid.yaml", *told])
    assert isinstance(answer.exception, UserError)
    assert "leave grid.yaml out" in str(answer.exception)
