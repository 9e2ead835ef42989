from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.model.errors import ModelError
from policy.tasks.congestion import schema
from policy.tasks.congestion.labels import Reward, Target
from policy.tasks.splits import SPLITS, assign_splits

pytestmark = pytest.mark.torch


def part(trace="t", split="train", windows=4):
    columns = {name: np.zeros(windows) for name in schema.SCHEMA.names}
    for name in ("source_trace", "family", "split", "run", "cell", "cc", "episode"):
        columns[name] = [{"source_trace": trace, "split": split}.get(name, "x")] * windows
    columns["window"] = np.arange(windows)
    columns["end_ns"] = np.arange(windows)
    return columns


@pytest.fixture
def folder(tmp_path):
    schema.describe(tmp_path, Target(), Reward())
    return tmp_path


def test_round_trip_sorts_and_keeps_values(folder):
    later = part(windows=3)
    later["episode"] = ["b"] * 3
    first = part(windows=3)
    first["episode"] = ["a"] * 3
    first["window"] = np.array([2, 0, 1])
    first["reward"] = np.array([0.2, 0.0, 0.1])
    schema.write_part(folder, "1", later)
    schema.write_part(folder, "2", first)
    table = schema.read(folder)
    assert table.schema.equals(schema.SCHEMA)
    assert table["episode"].to_pylist() == ["a"] * 3 + ["b"] * 3
    assert table["reward"].to_numpy()[:3] == pytest.approx([0, 0.1, 0.2])


def test_gcc_may_be_absent_and_nothing_else(folder):
    columns = part()
    del columns["gcc_bps"]
    schema.write_part(folder, "1", columns)
    assert schema.read(folder)["gcc_bps"].null_count == 4
    del columns["reward"]
    with pytest.raises(ModelError, match="reward"):
        schema.write_part(folder, "2", columns)


def test_a_trace_in_two_splits_is_refused(folder):
    schema.write_part(folder, "1", part("t", "train"))
    schema.write_part(folder, "2", part("t", "test"))
    with pytest.raises(ModelError, match="'t' is in two splits"):
        schema.read(folder)


def test_unknown_split_is_refused(folder):
    schema.write_part(folder, "1", part("t", "holdout"))
    with pytest.raises(ModelError, match="holdout"):
        schema.read(folder)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(ModelError, match="not an experience dataset"):
        schema.read(tmp_path)
    schema.describe(tmp_path, Target(), Reward())
    with pytest.raises(ModelError, match="no Parquet file"):
        schema.read(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ModelError, match="columns differ"):
        schema.read(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"schema": 0}))
    with pytest.raises(ModelError, match="schema 0"):
        schema.read(tmp_path)


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from(["a", "b", "c"]), max_size=40)
)
def test_splits_cover_every_trace_and_family(family_of):
    splits = assign_splits(family_of)
    assert splits.keys() == family_of.keys()
    assert splits == assign_splits(dict(reversed(family_of.items())))
    for family in set(family_of.values()):
        used = [splits[name] for name, of in family_of.items() if of == family]
        if len(used) >= 3:
            assert set(used) == set(SPLITS)
            assert used.count("train") >= len(used) // 3
        else:
            assert set(used) == {"train"}
