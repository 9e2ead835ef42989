"""Logs of jobs traffic: jobs, tasks and placements, written by the master when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.traffic.base import FlowSpec


@dataclass(frozen=True)
class JobRow:
    """A row of jobs.parquet. Times are CLOCK_MONOTONIC; done_ns is null if the end came first."""

    flow: int
    job: int
    query: int
    size_gb: int
    stages: int
    tasks: int
    work_ns: int
    arrival_ns: int
    done_ns: int | None


@dataclass(frozen=True)
class TaskRow:
    """A row of tasks.parquet: one task on one slot.

    start_ns to fetched_ns: transfers; compute_ns: what came then; late_ns: how much later than that
    the worker woke up; input_bytes: of which remote_bytes came over the network; lost: the worker
    ended first, and the task was run again.
    """

    flow: int
    job: int
    stage: int
    task: int
    worker: int
    host: str
    slot: int
    start_ns: int
    fetched_ns: int
    end_ns: int
    compute_ns: int
    late_ns: int
    input_bytes: int
    remote_bytes: int
    lost: bool


@dataclass(frozen=True)
class PlacementRow:
    """A row of placements.parquet: a decision. Stage counts within the job; -1 passes.

    source: rule, teacher, policy, simple (the policy's rule for one job or one candidate) or
    fallback.
    """

    flow: int
    at_ns: int
    job: int
    stage: int
    executors: int
    source: str
    decision_ns: int


Row = JobRow | TaskRow | PlacementRow
_TYPES = {"int": pa.int64(), "int | None": pa.int64(), "str": pa.string(), "bool": pa.bool_()}


def write(spec: FlowSpec, name: str, kind: type[Row], rows: Sequence[Row]) -> None:
    """``name``-<flow>.parquet, whole. Raises OSError when the disk is full."""
    schema = pa.schema(
        [
            (field.name, pa.int16() if field.name == "flow" else _TYPES[str(field.type)])
            for field in fields(kind)
        ]
    )
    path = path_of(spec, name)
    part = path.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), part)
    part.replace(path)


def path_of(spec: FlowSpec, name: str) -> Path:
    """Where a flow's log is until the cell's logs are joined."""
    return spec.log_dir / f"{name}-{spec.flow}.parquet"
