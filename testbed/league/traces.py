"""The traces of a league: the grid's own, or those of a collection's split, so that nothing trained
on slips in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from testbed.errors import UserError
from testbed.grid.sources import Source, resolve_sources
from testbed.grid.splits import split_traces
from testbed.league.grid import LeagueGrid
from traces.model import Trace
from traces.parquet import read_parquet


@dataclass(frozen=True)
class LeagueTrace:
    """A trace, where it comes from, and by what factor its rates were scaled."""

    trace: Trace
    family: str
    split: str
    scale: float = 1.0

    @property
    def name(self) -> str:
        """Unique in a league."""
        return self.trace.name


def resolve_traces(
    grid: LeagueGrid, patterns: Sequence[str] = (), collection: Path | None = None
) -> list[LeagueTrace]:
    """The traces of the grid's split.

    With a collection (`collection.json`): its traces of the split instead of the grid's own, and of
    `patterns` those that it does not know; one that it has in another split is refused. Raises
    UserError or TraceError.
    """
    if collection is None:
        sources = resolve_sources((*grid.traces, *patterns), grid.max_mean_rate_bps)
        split_of: Mapping[str, str] = {source.name: grid.split for source in sources}
        if grid.splits is not None:
            family_of = {source.name: source.family for source in sources}
            split_of = split_traces(grid.splits, family_of, grid.seed, {})
        traces = [_of_split(source, split_of[source.name]) for source in sources]
    else:
        traces = _collected(collection)
        known = {trace.name: trace for trace in traces}
        for source in resolve_sources(patterns, grid.max_mean_rate_bps):
            if source.name not in known:
                traces.append(_of_split(source, grid.split))
            elif known[source.name].split != grid.split:
                raise UserError(
                    f"trace {source.name} is in {known[source.name].split} in {collection}: a "
                    "league on it would "
                    "flatter what was trained there; narrow --traces, or say --split "
                    f"{known[source.name].split}"
                )
    chosen = [trace for trace in traces if trace.split == grid.split]
    if not chosen:
        counts = Counter(trace.split for trace in traces)
        there = (
            ", ".join(f"{count} for {split}" for split, count in sorted(counts.items())) or "none"
        )
        raise UserError(f"no trace is in the split {grid.split!r}; there are {there}")
    return _drawn(chosen, grid)


def _drawn(traces: Sequence[LeagueTrace], grid: LeagueGrid) -> list[LeagueTrace]:
    """`per_family` of each family; a trace's place in the draw depends on its name alone."""
    kept: Counter[str] = Counter()
    chosen = []
    for trace in sorted(traces, key=lambda trace: _place(trace.name, grid.seed)):
        kept[trace.family] += 1
        if grid.per_family is None or kept[trace.family] <= grid.per_family:
            chosen.append(trace)
    return chosen


def _place(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _of_split(source: Source, split: str) -> LeagueTrace:
    return LeagueTrace(source.trace, source.family, split, source.scale)


def _collected(path: Path) -> list[LeagueTrace]:
    """All traces of a collection, scaled as it scaled them."""
    if path.is_dir():
        path = path / "collection.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        family_of: dict[str, str] = {
            row["source_trace"]: row["family"] for row in record["scenarios"].values()
        }
        splits: dict[str, str] = dict(record["splits"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--collection {path}: not the collection.json of `tbtest collect`: {error}"
        ) from error
    return [
        LeagueTrace(
            replace(read_parquet(path.parent / "traces" / f"{name}.parquet"), name=name),
            family_of.get(name, name),
            split,
        )
        for name, split in sorted(splits.items())
    ]
