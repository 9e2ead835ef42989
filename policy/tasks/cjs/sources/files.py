"""Jobs from a file, whatever its form."""

from __future__ import annotations

from pathlib import Path

from policy.tasks.cjs.job import Job
from policy.tasks.cjs.sources.graphs import read_graphs
from policy.tasks.cjs.sources.profiles import read_profiles


def read_jobs(path: Path) -> list[Job]:
    """Job graphs from ``*.jsonl`` (`graphs.py`), else measured profiles from Parquet
    (`profiles.py`). Raises PolicyError.
    """
    return read_graphs(path) if path.suffix == ".jsonl" else read_profiles(path)
