"""Profile files: what is read, what is refused; measured profiles are in TBTEST_CJS or
../shared/cjs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policy.errors import PolicyError
from policy.tasks.cjs.sources.profiles import read_profiles

FOLDER = Path(os.environ.get("TBTEST_CJS", Path(__file__).parents[5] / "shared" / "cjs"))
measured = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no measured profiles in {FOLDER} (set TBTEST_CJS)"
)


def row(stage: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "query": 4,
        "size_gb": 10,
        "stage": stage,
        "parents": list(range(stage)),
        "tasks": 3,
        "levels": [5, 10],
        "fresh_ms": [[30], []],
        "first_ms": [[30, 20, 30], []],
        "rest_ms": [[], [9]],
    } | changes


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "profiles.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file


def test_fresh_times_are_taken_out_of_the_first_wave_and_gaps_filled_from_below(tmp_path: Path):
    (job,) = read_profiles(written(tmp_path, row()))
    five, ten = job.stages[0].levels
    assert five.first_ms.tolist() == [20, 30]
    assert ten.first_ms.tolist() == [20, 30]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(), row(2)], "stage 2: stages are to be numbered"),
        ([row(), row(1, levels=[5])], "stage 1: fresh_ms has 2 lists for 1 levels"),
        ([row(), row(1, parents=[1])], "stage 1: parent 1"),
        ([row(parents=[1]), row(1, parents=[0])], "stages 0, 1 wait for each other"),
        ([row(), row(1, tasks=None)], "stage 1: an empty cell"),
        ([row(), row(1, rest_ms=[[-4], [1]])], "stage 1: a task time of -4 ms"),
    ],
)
def test_what_is_malformed_is_one_line_with_job_and_stage(tmp_path: Path, rows, why: str):
    with pytest.raises(PolicyError, match=f"profiles.parquet: query 4 at 10 GB.*{why}"):
        read_profiles(written(tmp_path, *rows))


def test_other_files_are_refused(tmp_path: Path):
    text = tmp_path / "profiles.parquet"
    text.write_text("no")
    with pytest.raises(PolicyError, match="not a Parquet file"):
        read_profiles(text)
    with pytest.raises(PolicyError, match="No such file"):
        read_profiles(tmp_path / "none")
    pq.write_table(pa.table({"query": [1]}), text)
    with pytest.raises(PolicyError, match="no column size_gb"):
        read_profiles(text)


@measured
def test_measured_profiles_have_their_known_counts():
    jobs = read_profiles(FOLDER / "tpch.parquet")
    assert len(jobs) == 119
    assert sum(len(job.stages) for job in jobs) == 1_064
