"""A collection: the grid resolved, what is done left out, the dataset described."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy.tasks.congestion import schema
from policy.tasks.congestion.labels import Reward, Target
from testbed.collect.grid import CollectRun, Grid, expand
from testbed.collect.worker import part_path
from testbed.errors import UserError
from testbed.grid.sources import Source, resolve_sources, write_sources
from testbed.grid.splits import split_traces
from testbed.run.files import write_json

SCHEMA = 1
_RECORD = "collection.json"


@dataclass(frozen=True)
class Collection:
    """Runs of a grid in a folder."""

    out: Path
    sources: Sequence[Source]
    splits: dict[str, str]
    runs: Sequence[CollectRun]

    @property
    def left(self) -> list[CollectRun]:
        """Those that are not done yet."""
        return [run for run in self.runs if not part_path(self.out, run.id).exists()]

    def write(self) -> None:
        """The traces, `dataset.json` and `collection.json`: the splits, and every scenario by the
        `run` of its rows.
        """
        write_sources(self.sources, self.out / "traces")
        schema.describe(self.out, Target(), Reward())
        before = _recorded(self.out)
        scenarios = {
            run.id: {**run.scenario, "source_trace": run.source_trace, "family": run.family}
            for run in self.runs
        }
        write_json(
            self.out / _RECORD,
            {
                "schema": SCHEMA,
                "splits": before.get("splits", {}) | self.splits,
                "scenarios": before.get("scenarios", {}) | scenarios,
            },
        )


def plan(grid: Grid, patterns: Sequence[str], out: Path) -> Collection:
    """What a grid means in this folder. Creates nothing. Raises UserError or TraceError."""
    sources = resolve_sources((*grid.traces, *patterns), grid.max_mean_rate_bps)
    family_of = {source.name: source.family for source in sources}
    splits = split_traces(grid.splits, family_of, grid.seed, _recorded(out).get("splits", {}))
    paths = {name: str((out / "traces" / f"{name}.parquet").resolve()) for name in family_of}
    return Collection(out, sources, splits, expand(grid, paths, family_of, splits))


def _recorded(out: Path) -> dict[str, Any]:
    path = out / _RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; collect into another --out") from error
    if record.get("schema") != SCHEMA:
        raise UserError(f"{path}: schema {record.get('schema')}, this version writes {SCHEMA}")
    return record
