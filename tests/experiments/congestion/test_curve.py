"""The curve over the objective: which scenarios count, and what the tables say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from analysis.league.table import to_table
from experiments.congestion.curve import main, means_table, ordered, whole
from tests.analysis.league.rows import row as league_row

pytest.importorskip("matplotlib")

SCHEMES = {"policy@latency": 3.0, "policy": 4.0, "policy@0.75": 4.5, "bbr": 5.0, "cubic": 6.0}
"""Scheme -> Mbit/s."""


def row(scheme: str, trace: str) -> dict[str, Any]:
    bitrate = SCHEMES[scheme]
    return league_row(
        trace,
        scheme,
        bitrate_mbps=bitrate,
        on_time_mbps=bitrate / 2,
        utilisation=bitrate / 10,
        stall_100=bitrate / 50,
        stall_200=bitrate / 100,
        stall_500=0.0,
        qdelay_p95_ms=20 * bitrate,
    )


def rows() -> list[dict[str, Any]]:
    """Three whole scenarios, and one that cubic has not run."""
    done = [row(scheme, trace) for scheme in SCHEMES for trace in ("a1", "b1", "c1")]
    return done + [row(scheme, "d1") for scheme in SCHEMES if scheme != "cubic"]


def test_only_whole_scenarios_count() -> None:
    kept = whole(pd.DataFrame(rows()))
    assert sorted(set(kept["trace"])) == ["a", "b", "c"]


def test_the_policy_comes_first_by_its_objective() -> None:
    assert ordered(set(SCHEMES)) == ["policy@latency", "policy", "policy@0.75", "bbr", "cubic"]


def test_means_are_in_the_table() -> None:
    assert "| policy | 2.00 | 4.00 | 8.0 | 4.0 | 0.0 | 80 | 40 |" in means_table(
        whole(pd.DataFrame(rows()))
    )


def test_the_command_writes_tables_and_figure(tmp_path: Path) -> None:
    pq.write_table(to_table(rows()), tmp_path / "league.parquet")
    out = tmp_path / "curve"
    done = CliRunner().invoke(main, [str(tmp_path / "league.parquet"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("3 scenarios on 3 traces of 1 families")
    assert "| policy | -0.50" in done.output
    assert (out / "curve.md").read_text() == done.output.removesuffix("\n")
    assert "policy@latency" in (out / "curve.svg").read_text()


def test_a_league_without_rivals_is_refused(tmp_path: Path) -> None:
    only = [row("policy", "a1")]
    pq.write_table(to_table(only), tmp_path / "league.parquet")
    done = CliRunner().invoke(main, [str(tmp_path / "league.parquet")])
    assert done.exit_code == 1
    assert "no whole scenario with bbr, cubic" in done.output
