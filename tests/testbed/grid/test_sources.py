"""Source traces: names, families, scaling, and no trace twice."""

from __future__ import annotations

import pytest

from testbed.errors import UserError
from testbed.grid.axes import Generated
from testbed.grid.sources import resolve_sources, write_sources
from traces.library import load, save
from traces.model import constant


def test_generated_bundled_and_files(tmp_path):
    (tmp_path / "my drive").mkdir()
    save(constant(7e6), tmp_path / "my drive" / "a.parquet")
    generated = Generated.model_validate(
        {"generate": "lte", "name": "car", "seeds": [3, 4], "duration": "5s"}
    )
    sources = resolve_sources(("steps", generated, str(tmp_path / "**/*.parquet")), None)
    found = [(source.name, source.family) for source in sources]
    assert found == [
        ("steps", "steps"),
        ("car-seed3", "car"),
        ("car-seed4", "car"),
        ("my-drive.a", "my-drive"),
    ]


def test_fast_traces_are_scaled_and_slow_ones_are_not(tmp_path):
    sources = resolve_sources(("5g-mmwave", "steps"), 20e6)
    assert sources[0].scale < 1 == sources[1].scale
    paths = write_sources(sources, tmp_path)
    assert load(paths["5g-mmwave"]).mean_bps() == pytest.approx(20e6)
    assert load(paths["steps"]).mean_bps() == pytest.approx(12e6)


def test_the_same_capacity_under_two_names_is_refused():
    # The bundled trace is made by this generator with this seed: in two splits it would be
    # worthless.
    again = Generated.model_validate({"generate": "steps", "seeds": [1], "duration": "40s"})
    with pytest.raises(UserError, match="same capacity"):
        resolve_sources(("steps", again), None)


def test_a_pattern_without_files_is_named(tmp_path):
    with pytest.raises(UserError, match="meets no file"):
        resolve_sources(("steps", str(tmp_path / "*.mahi")), None)
