"""Which traces a league runs on: never one that was trained on, unless told."""

from __future__ import annotations

import json

import pytest

from testbed.errors import UserError
from testbed.league.grid import make_grid
from testbed.league.traces import resolve_traces
from traces.generators import generate
from traces.parquet import write_parquet

LTE = {"generate": "lte", "seeds": [1, 2, 3, 4], "duration": "5s"}


def grid(**given):
    return make_grid({"traces": [LTE]} | given, "test")


@pytest.fixture
def collection(tmp_path):
    """A collected dataset of three traces, one in each split."""
    folder = tmp_path / "data"
    (folder / "traces").mkdir(parents=True)
    splits = {"real.a": "train", "real.b": "validation", "real.c": "test"}
    for seed, name in enumerate(splits):
        write_parquet(generate("lte", seed, 5.0, {}, name), folder / "traces" / f"{name}.parquet")
    scenarios = {f"{name}-0": {"source_trace": name, "family": "real"} for name in splits}
    record = {"schema": 1, "splits": splits, "scenarios": scenarios}
    (folder / "collection.json").write_text(json.dumps(record))
    return folder


def test_without_splits_every_trace_is_unseen():
    assert [trace.split for trace in resolve_traces(grid())] == ["test"] * 4


def test_the_grids_own_splits_are_kept_to():
    splits = {"validation": ["lte-seed1"], "test": ["lte-seed[23]"]}
    assert {t.name for t in resolve_traces(grid(splits=splits))} == {"lte-seed2", "lte-seed3"}
    validation = grid(splits=splits, split="validation")
    assert [t.name for t in resolve_traces(validation)] == ["lte-seed1"]
    assert [t.name for t in resolve_traces(grid(splits=splits, split="train"))] == ["lte-seed4"]


@pytest.mark.parametrize(
    ("split", "name"), [("test", "real.c"), ("validation", "real.b"), ("train", "real.a")]
)
def test_of_a_collection_only_the_split(collection, split, name):
    for path in (collection, collection / "collection.json"):
        (found,) = resolve_traces(grid(split=split), collection=path)
        assert (found.name, found.family, found.split) == (name, "real", split)


def test_a_trained_trace_is_refused_by_name_and_an_unknown_one_is_unseen(collection, tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    write_parquet(generate("lte", 0, 5.0, {}, "a"), folder / "a.parquet")
    with pytest.raises(UserError, match=r"trace real\.a is in train in .*say --split train"):
        resolve_traces(grid(), [str(folder / "*")], collection)
    (folder / "a.parquet").rename(folder / "new.parquet")
    found = resolve_traces(grid(), [str(folder / "*")], collection)
    assert {trace.name for trace in found} == {"real.c", "real.new"}


def test_nothing_to_run_on_is_said(collection):
    with pytest.raises(UserError, match="no trace is in the split 'train'; there are 4 for test"):
        resolve_traces(grid(splits={"validation": [], "test": ["*"]}, split="train"))
    (collection / "collection.json").write_text("{}")
    with pytest.raises(UserError, match=r"collection.json: not the collection.json of"):
        resolve_traces(grid(), collection=collection)


def test_fast_traces_are_scaled_and_it_is_known():
    for trace in resolve_traces(grid(max_mean_rate="1mbit")):
        assert trace.scale < 1
        assert trace.trace.mean_bps() == pytest.approx(1e6)
    assert {trace.scale for trace in resolve_traces(grid(max_mean_rate=None))} == {1.0}


def test_few_of_each_family_the_same_ones_when_traces_come():
    few = {trace.name for trace in resolve_traces(grid(per_family=2))}
    assert len(few) == 2
    more = grid(per_family=3, traces=[LTE, {"generate": "wifi", "seeds": [1], "duration": "5s"}])
    assert few < {trace.name for trace in resolve_traces(more)}
