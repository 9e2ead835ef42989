"""The lossless form: damaged and foreign files. Round trips are in test_formats.py."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traces import TraceError, constant, read_parquet, write_parquet
from traces.parquet import read_provenance


def test_provenance_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(constant(5e6), path, {"file": "origin.txt", "unit_scale": 8})
    assert read_provenance(path) == {"file": "origin.txt", "unit_scale": 8}
    assert read_parquet(path).mean_bps() == 5e6
    assert pq.read_table(path).column_names == ["start_ns", "capacity_bps"]


def test_foreign_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"start_ns": [0], "capacity_bps": [1.0]}), path)
    with pytest.raises(TraceError, match="trace schema none"):
        read_parquet(path)


def test_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(constant(5e6), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="cannot be read"):
        read_parquet(path)
    with pytest.raises(TraceError, match="cannot be read"):
        read_parquet(tmp_path / "absent.parquet")


@pytest.mark.parametrize(
    "columns",
    [
        {"start_ns": [0], "other": [1]},
        {"start_ns": [0, None], "capacity_bps": [1.0, 2.0]},
        {"start_ns": ["a"], "capacity_bps": [1.0]},
        {"start_ns": [0], "capacity_bps": [-5.0]},
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(constant(5e6), path)
    metadata = pq.read_schema(path).metadata
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    with pytest.raises(TraceError, match=r"t\.parquet"):
        read_parquet(path)
