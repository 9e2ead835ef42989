"""The figure of a league's video flows."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from analysis.league.table import to_table
from experiments.congestion.league_figure import main
from tests.analysis.league.rows import row

pytest.importorskip("matplotlib")


@pytest.fixture
def draw(tmp_path):
    def run(**given):
        rows = [
            row(
                f"{trace}1",
                scheme,
                bitrate_mbps=5.0,
                qdelay_p95_ms=40.0,
                stall_100=0.25,
                stall_200=0.1,
                stall_500=0.0,
            )
            | given
            for trace in "abc"
            for scheme in ("policy", "bbr", "cubic")
        ]
        pq.write_table(to_table(rows), tmp_path / "league.parquet")
        return CliRunner().invoke(
            main, [str(tmp_path / "league.parquet"), "--out", str(tmp_path / "league.svg")]
        )

    return run


def test_every_scheme_is_in_it(draw, tmp_path):
    answer = draw()
    assert answer.exit_code == 0, answer.output
    drawn = (tmp_path / "league.svg").read_text()
    assert all(
        drawn.count(f">{scheme}<") == 2 for scheme in ("policy", "bbr", "cubic")
    )  # legend and axis


def test_a_league_without_video_is_named(draw, tmp_path):
    answer = draw(traffic="bulk")
    assert answer.exit_code == 1
    assert "no cell of it has video traffic" in answer.output
    assert not (tmp_path / "league.svg").exists()


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "league.parquet").write_text("no table")
    answer = CliRunner().invoke(
        main, [str(tmp_path / "league.parquet"), "--out", str(tmp_path / "league.svg")]
    )
    assert answer.exit_code == 1
    assert "league.parquet: not a readable Parquet file" in answer.output
