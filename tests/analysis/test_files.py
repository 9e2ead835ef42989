"""The records of a run folder: what is written is what is read, and a trace's hash is of its
content.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.files import read_cell, read_manifest, to_json, trace_sha256
from tests.analysis.synthetic import bulk_cell, write_run
from traces.model import constant


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [bulk_cell("bbr", 6, 10)])
    cell = folder / "cells" / "000-bbr-r0"
    for path, read in ((folder / "manifest.json", read_manifest), (cell / "cell.json", read_cell)):
        record = read(path.parent)
        path.write_text(json.dumps(to_json(record)))
        assert read(path.parent) == record
        assert json.loads(path.read_text())["schema"] == 1


def test_keys_of_a_later_version_are_kept(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [bulk_cell("bbr", 6, 10)])
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weather": "rain"}))
    assert to_json(read_manifest(folder))["weather"] == "rain"


@given(st.floats(1e4, 1e9), st.floats(1e4, 1e9))
def test_the_hash_is_of_what_a_trace_replays(first: float, second: float) -> None:
    one, other = constant(first), constant(second)
    assert trace_sha256(one) == trace_sha256(replace(one, name="another"))
    same = np.array_equal(one.steps.capacity_bps, other.steps.capacity_bps)
    assert (trace_sha256(one) == trace_sha256(other)) == same
