"""The project's own sections of league.md: where they stand, and that a second call replaces
them.
"""

from __future__ import annotations

from pathlib import Path

from analysis.league import build
from analysis.league.table import to_table
from experiments.congestion.league import main
from tests.analysis.league.rows import row

SCHEMES = {"policy": 1.0, "policy:llm": 1.2, "policy:gru": 1.5, "bbr": 3.0, "cubic": 4.0}


def league(folder: Path) -> Path:
    rows = [
        row(trace, scheme, qdelay_p95_ms=worse * 10 + place, stall_100=worse / 100)
        for place, trace in enumerate("abcdef")
        for scheme, worse in SCHEMES.items()
    ]
    build(folder, to_table(rows), ["a note"])
    return folder


def test_targets_and_duels_stand_before_the_groups(tmp_path: Path) -> None:
    assert main([str(league(tmp_path))]) == 0
    text = (tmp_path / "league.md").read_text()
    assert text.startswith("# League\n- a note\n")
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "## To reach",
        "## policy:llm against policy:gru: video",
        "## All families: video",
    ]
    assert (
        "| stall rate >100 ms, ratio | at most 0.5 | 0.33 [0.33, 0.33]: **met**<br>−2.00 [−2.00, "
        "−2.00] points" in text
    )
    assert "in 100% of 6 cells, 6 traces | 0.40" in text


def test_a_second_call_replaces_the_sections(tmp_path: Path) -> None:
    league(tmp_path)
    assert main([str(tmp_path)]) == 0
    once = (tmp_path / "league.md").read_text()
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "league.md").read_text() == once


def test_a_folder_that_is_no_league_is_named(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path)]) == 2
    assert "league.parquet: not a readable Parquet file" in capsys.readouterr().err
