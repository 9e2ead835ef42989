"""Measured job profiles from a Parquet file, a row for each stage.

Columns: query, size_gb, stage (0, 1, ... in each job), parents (list of stages), tasks, levels
(numbers of executors, rising), and a list of task times in ms for each level in fresh_ms, first_ms
and rest_ms. shuffle_bytes_per_task is optional. A file whose first_ms still holds the values of
fresh_ms, as measured profiles of Spark do, is read as ``first_holds_fresh``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from policy.errors import PolicyError
from policy.tasks.cjs.job import IntArray, Job, Level, Stage

COLUMNS = (
    "query",
    "size_gb",
    "stage",
    "parents",
    "tasks",
    "levels",
    "fresh_ms",
    "first_ms",
    "rest_ms",
)
_MAX_ROWS = 1_000_000


def read_profiles(path: Path, first_holds_fresh: bool = True) -> list[Job]:
    """The jobs of a profile file. Raises PolicyError naming file, job and stage for what is
    malformed.
    """
    try:
        # Opening tells why a file cannot be read, and a folder is none. Arrow opens it by itself:
        # its threads would enter Python for an open file, and abort where Python is about to end.
        with path.open("rb"):
            table = pq.ParquetFile(path).read()
    except pa.ArrowException:
        raise PolicyError(f"{path}: not a Parquet file; give job profiles as Parquet") from None
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from None
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        raise PolicyError(f"{path}: no column {missing[0]}; job profiles have {', '.join(COLUMNS)}")
    if not 0 < table.num_rows <= _MAX_ROWS:
        raise PolicyError(f"{path}: {table.num_rows} rows; give 1 to {_MAX_ROWS}")
    rows: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault((row["query"], row["size_gb"]), []).append(row)
    try:
        return [_job(*key, stages, first_holds_fresh) for key, stages in rows.items()]
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


def _job(query: int, size_gb: int, rows: list[Mapping[str, Any]], first_holds_fresh: bool) -> Job:
    stages = []
    for number, row in enumerate(rows):
        where = f"query {query} at {size_gb} GB, stage {row['stage']}"
        if row["stage"] != number:
            raise PolicyError(
                f"{where}: stages are to be numbered 0, 1, ... in order; {number} is missing"
            )
        try:
            stages.append(_stage(where, row, first_holds_fresh))
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, PolicyError):
                raise
            raise PolicyError(f"{where}: malformed: {error}") from None
    return Job(query, size_gb, tuple(stages))


def _stage(where: str, row: Mapping[str, Any], first_holds_fresh: bool) -> Stage:
    executors = row["levels"]
    kinds = (row["fresh_ms"], row["first_ms"], row["rest_ms"])
    if any(value is None for value in (executors, row["parents"], row["tasks"], *kinds)):
        raise PolicyError(f"{where}: an empty cell; every column needs a value")
    for name, lists in zip(("fresh_ms", "first_ms", "rest_ms"), kinds, strict=True):
        if len(lists) != len(executors):
            raise PolicyError(f"{where}: {name} has {len(lists)} lists for {len(executors)} levels")
    levels: list[Level] = []
    below = np.zeros(0, np.int64)
    for count, *times in zip(executors, *kinds, strict=True):
        fresh, first, rest = (np.asarray(values, np.int64) for values in times)
        if first_holds_fresh:
            first = _without(first, fresh)
            # An empty first wave is filled from the level below, as the simulators in use do.
            first = first if len(first) else below
            below = first
        levels.append(Level(int(count), fresh, first, rest))
    shuffle = int(row.get("shuffle_bytes_per_task") or 0)
    return Stage(tuple(int(p) for p in row["parents"]), int(row["tasks"]), tuple(levels), shuffle)


def _without(values: IntArray, removed: IntArray) -> IntArray:
    """The values less those of ``removed``, one for one."""
    left = Counter(removed.tolist())
    kept = []
    for value in values.tolist():
        if left[value] > 0:
            left[value] -= 1
        else:
            kept.append(value)
    return np.array(kept, np.int64)
