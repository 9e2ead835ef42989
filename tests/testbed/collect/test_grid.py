"""Grids: ids that stay, splits by trace, and mistakes named."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from testbed.collect.grid import Grid, expand, read_grid
from testbed.errors import UserError
from testbed.grid.axes import Splits
from testbed.grid.splits import split_traces
from testbed.scenario import parse_scenario
from traces.bundled import index as bundled

FAMILY_OF = {f"{family}-{k}": family for family in ("lte", "wifi") for k in range(6)}


def runs(grid, names):
    return expand(
        grid,
        {n: f"/x/{n}" for n in names},
        dict.fromkeys(names, "f"),
        dict.fromkeys(names, "train"),
    )


def test_full_product_where_nothing_is_drawn():
    grid = Grid.model_validate(
        {"rtt": ["20ms", "40ms"], "buffer": ["1bdp", "60kB"], "per_trace": None}
    )
    assert len(runs(grid, ["a", "b"])) == 2 * 2 * 2 * 3
    assert len({run.id for run in runs(grid, ["a", "b"])}) == 24


def test_a_growing_grid_keeps_the_jobs_that_it_had():
    small, large = runs(Grid(), ["a"]), runs(Grid(), ["a", "b"])
    assert small == [run for run in large if run.source_trace == "a"]
    assert len(small) == Grid().per_trace


def test_the_ids_of_grids_that_were_collected_stay() -> None:
    # A collection that was begun goes on: its parts are found by these names.
    names = list(bundled())
    ids = [run.id for run in runs(Grid(), names)]
    assert ids[:2] == ["5g-mmwave-6cde7f0c9b", "5g-mmwave-120fa45a1b"]
    digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()
    assert digest.startswith("7474dff5ef312825")


def test_id_and_seed_change_with_what_is_run():
    before, after = (
        runs(Grid.model_validate({"duration": d, "rtt": ["40ms"]}), ["a"]) for d in ("4s", "5s")
    )
    assert not {run.id for run in before} & {run.id for run in after}
    assert (
        before[0].scenario["policy"]["seed"]
        == before[0].scenario["seed"]
        != after[0].scenario["seed"]
    )


def test_jobs_are_scenarios():
    for run in runs(Grid(), ["a"]):
        scenario = parse_scenario(run.scenario, run.id)
        assert scenario.cc == Grid().controllers
        assert scenario.trace == "/x/a"
        assert scenario.stagger_ns == scenario.duration_ns // 4


def test_splits_are_drawn_within_each_family_and_stay_when_traces_come():
    first = split_traces(Splits(), FAMILY_OF, 1, {})
    for family in ("lte", "wifi"):
        assert {first[n] for n in FAMILY_OF if FAMILY_OF[n] == family} == {
            "train",
            "validation",
            "test",
        }
    more = FAMILY_OF | {f"sat-{k}": "sat" for k in range(4)} | {"lte-new": "lte"}
    second = split_traces(Splits(), more, 1, first)
    assert {name: second[name] for name in first} == first
    assert set(second) == set(more)


def test_patterns_say_the_split():
    splits = split_traces(Splits(validation=("wifi-0",), test=("wifi-[12]",)), FAMILY_OF, 1, {})
    assert {name for name, split in splits.items() if split == "test"} == {"wifi-1", "wifi-2"}
    assert splits["wifi-0"] == "validation"
    assert splits["lte-0"] == "train"


@pytest.mark.parametrize(
    ("splits", "recorded", "message"),
    [
        (Splits(validation=("none*",), test=()), {}, "meets no trace"),
        (Splits(validation=("lte-1",), test=("lte-*",)), {}, "in validation and in test"),
        (
            Splits(validation=("lte-1",), test=("lte-2",)),
            {"lte-1": "train"},
            "in train in the dataset",
        ),
    ],
)
def test_impossible_splits_are_named(splits, recorded, message):
    with pytest.raises(UserError, match=message):
        split_traces(splits, FAMILY_OF, 1, recorded)


def test_a_controller_without_records_is_refused():
    with pytest.raises(ValidationError, match="'cubic' leaves no ACK records"):
        Grid(controllers=("policy:gcc", "cubic"))


def test_a_mistake_in_the_file_names_the_key(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("rtt: [40]\n")
    with pytest.raises(UserError, match=r"grid.yaml: rtt.0: .*40ms"):
        read_grid(path)


def test_patterns_and_shares_do_not_mix():
    with pytest.raises(ValidationError, match="patterns for both"):
        Splits(validation=("lte-0",))
