"""Learning rates found on validation samples: who searches, who takes over what was found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from experiments.generalist import campaign, plan, rows, runs, search, tables

pytestmark = pytest.mark.torch
RATES = (0.001, 0.004)


def test_runs_of_a_search_come_before_what_needs_them_once_each():
    wanted = plan.chosen(["G/0", "G-long/0", "A-abr/3", "H/0"])
    found = search.with_searches(wanted, RATES)
    names = [job.name for job in found]
    assert len(set(names)) == len(names)
    assert [job.name for job in found if job.kind != "rate"] == [job.name for job in wanted]
    for place, job in enumerate(found):
        assert all(names.index(x) < place for x in job.needs if x.startswith("rate-"))
    by_name = {job.name: job for job in found}
    assert by_name["G-long/0"].needs == by_name["G/0"].needs
    assert by_name["A-abr/3"].needs == tuple(
        f"rate-A-abr@{rate}/{seed}" for rate in RATES for seed in (0, 1)
    )
    assert by_name["rate-A-abr@0.004/1"].tasks == ("abr",)
    assert by_name["H/0"].needs == plan.merged(0).needs


def test_without_rates_nothing_is_searched():
    assert search.with_searches(plan.jobs(), ()) == plan.jobs()


def test_who_takes_a_rate_over_names_a_row_that_searches():
    assert set(search.SEEDS) | set(search.LIKE) <= set(rows.ROWS)
    assert set(search.LIKE.values()) <= set(search.SEEDS)
    for row, like in search.LIKE.items():
        assert rows.ROWS[row].alone == rows.ROWS[like].alone


def test_the_best_rate_has_the_least_loss_in_the_mean_over_seeds():
    records = [
        {"rate": 0.001, "best_loss": 0.2},
        {"rate": 0.001, "best_loss": 0.4},
        {"rate": 0.004, "best_loss": 0.1},
        {"rate": 0.004, "best_loss": 0.6},
        {"rate": 0.002, "failed": "out of memory"},
    ]
    assert search.best_rate(records) == 0.001
    with pytest.raises(ValueError, match="empty"):
        search.best_rate(records[-1:])


def _runner(folder: Path, losses: dict[str, float]) -> runs.Runner:
    """A runner of which only the folders and the plan are there, after a search."""
    (folder / "runs").mkdir()
    for name, loss in losses.items():
        rate = float(name.split("@")[1].split("/")[0])
        record = {"name": name, "rate": rate, "best_loss": loss}
        (folder / "runs" / f"{name.replace('/', '+')}.json").write_text(json.dumps(record))
        checkpoint = folder / "checkpoints" / name / "checkpoint"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text(name)
    runner = object.__new__(runs.Runner)
    vars(runner).update(plan=plan.TINY, out=folder, checkpoints=folder / "checkpoints")
    return runner


def test_a_run_takes_the_rate_that_was_found_and_the_checkpoint_of_its_seed(tmp_path):
    losses = {"rate-G@0.001/0": 0.3, "rate-G@0.001/1": 0.2, "rate-G@0.004/0": 0.1}
    runner = _runner(tmp_path, losses | {"rate-G@0.004/1": 0.9})
    jobs = {x.name: x for x in search.with_searches(plan.chosen(["G/", "G-long/0"]), RATES)}
    for name in ("G/1", "G/4", "G-long/0"):
        assert runner._rate(jobs[name]) == 0.001
    assert runner._rate(jobs["rate-G@0.004/0"]) == 0.004
    assert runner._rate(plan.rows("G", 0)[0]) == plan.RATES["G"]
    same = runner._same(jobs["G/1"], 0.001)
    assert same is not None
    assert same["best_loss"] == 0.2
    copied = tmp_path / "checkpoints" / "G/1" / "checkpoint" / "config.json"
    assert copied.read_text() == "rate-G@0.001/1"
    # Other seeds were not trained yet, and a long run is more than the search's.
    assert runner._same(jobs["G/4"], 0.001) is None
    assert runner._same(jobs["G-long/0"], 0.001) is None


def test_rates_of_a_search_are_numbers_between_0_and_1():
    context = cast("Any", SimpleNamespace())
    assert campaign.searched(context, context, "") == []
    assert campaign.searched(context, context, "0.001,2e-3") == [0.001, 0.002]
    for wrong in ("0.001,fast", "1", "0.1;0.2"):
        with pytest.raises(click.BadParameter, match=f"--search {wrong}: give a number"):
            campaign.searched(context, context, wrong)


def test_the_table_of_rates_shows_the_losses_of_the_best_steps_by_hand():
    def record(name: str, rate: float, tasks: dict[str, float]) -> dict[str, Any]:
        worse = {"step": 1, "validation": 9.0} | dict.fromkeys(tasks, 9.0)
        mean = sum(tasks.values()) / len(tasks)
        curve = [worse, {"step": 2, "validation": mean} | tasks]
        found = {"kind": "rate", "name": name, "row": name[5], "rate": rate}
        return found | {"best_loss": mean, "best_step": 2, "curve": curve}

    records = [
        record("rate-G@0.001/0", 0.001, {"congestion": 0.1, "abr": 0.2, "cjs": 0.3}),
        record("rate-G@0.001/1", 0.001, {"congestion": 0.3, "abr": 0.4, "cjs": 0.5}),
        record("rate-F-abr@0.004/0", 0.004, {"abr": 0.25}),
        {"kind": "rate", "name": "rate-G@0.004/0", "row": "G", "failed": "out of memory"},
    ]
    table = tables.rates_table({one["name"]: one for one in records})
    assert "| row | 0.001 | 0.004 |" in table
    assert "| G | 0.300 (0.200 0.300 0.400) | – |" in table
    assert "| F-abr | – | 0.250 |" in table
