"""A league's folder: what is done, and what the report says beside the numbers."""

from __future__ import annotations

import pytest

from analysis.league.table import KEYS, SCHEMA, read_table
from testbed.controllers.server import shared_settings
from testbed.errors import UserError
from testbed.grid.executors import chosen_executor
from testbed.league.grid import make_grid
from testbed.league.plan import cautions, check_schemes, plan

KEY_NAMES = {name for name, _ in KEYS}
MEASURED = {name: None for name in SCHEMA.names if name not in KEY_NAMES} | {"warnings": ""}


@pytest.fixture
def league(tmp_path):
    data = {
        "traces": [{"generate": "lte", "seeds": [1, 2], "duration": "5s"}],
        "schemes": ["bbr", "cubic"],
        "traffic": [{"flow": "bulk"}],
        "per_trace": 1,
        "max_mean_rate": "2mbit",
    }
    made = plan(make_grid(data, "test"), (), tmp_path / "out")
    made.write()
    return made


def test_a_cell_is_done_when_its_part_exists(league):
    first, *others = league.cells
    assert league.left == league.cells
    league.finish(first, MEASURED | {"throughput_mbps": 2.0})
    assert league.left == others
    assert set(league.rows()[0]) == set(SCHEMA.names)


def test_planning_creates_nothing(tmp_path):
    plan(make_grid({}, "test"), (), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_report_of_what_is_done(league):
    for cell in league.cells[:3]:
        league.finish(
            cell,
            MEASURED | {"throughput_mbps": 2.0, "warnings": "it was 97 % busy\nit was 3.5 ms late"},
        )
    assert league.report(None) == 3
    assert read_table(league.out / "league.parquet").num_rows == 3
    text = (league.out / "league.md").read_text()
    assert "3 of 4 cells are done: 2 schemes on 2 scenarios" in text
    assert "Scaled down to a mean of 2mbit, for side by side workers: 2 of 2 lte" in text
    assert (
        "3 of 3 cells have warnings, most often: it was … % busy (3); it was … ms late (3)" in text
    )
    assert "training traces" not in text


def test_a_broken_part_is_named(league):
    league.part(league.cells[0]).write_text("{")
    with pytest.raises(UserError, match=r"cannot be read: .*remove it to run the cell again"):
        league.rows()
    league.part(league.cells[0]).write_text('{"schema": 99}')
    with pytest.raises(UserError, match="of another version"):
        league.rows()


def test_answers_of_the_agents_fallback_are_told():
    rows = [MEASURED | {"local_share": share} for share in (None, 0.0, 0.5)]
    assert cautions(rows) == [
        "In 1 cells more than 2% of the answers were the agent's own fallback, not the policy's."
    ]


def test_a_scheme_that_cannot_run_is_refused_before_anything_is_made():
    with pytest.raises(UserError, match=r"scheme vegas9: .*leave it out with --schemes"):
        check_schemes(["vegas9"])
    with pytest.raises(UserError, match=r"no policy .none."):
        check_schemes(["policy:none"])


def test_the_server_gets_the_models_that_are_asked_for():
    assert shared_settings(["bbr", "policy:oracle"], {"device": "cuda"}) is None
    assert shared_settings(["policy:gcc", "bbr"], {}) == {"tiers": [], "difficult": None}
    assert shared_settings(["policy", "policy:llm", "policy:gru"], {"device": "cuda"}) == {
        "tiers": ["gru", "llm"],
        "device": "cuda",
    }


def test_which_executor(monkeypatch):
    assert chosen_executor("processes", None) == "processes"
    with pytest.raises(UserError, match="--ray-address is for --executor ray"):
        chosen_executor("processes", "auto")
    monkeypatch.setattr("testbed.grid.executors.ray_installed", lambda: True)
    assert chosen_executor(None, None) == "ray"
    monkeypatch.setattr("testbed.grid.executors.ray_installed", lambda: False)
    assert chosen_executor(None, None) == "processes"
    for asked in (("ray", None), (None, "auto")):
        with pytest.raises(
            UserError, match=r"Ray is not installed; run `pip install .*--executor processes"
        ):
            chosen_executor(*asked)
