"""A league in a folder: its cells, those that are done, and the table, figures and text made of
them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.controllers import base as cc
from testbed.controllers.server import SharedServer
from testbed.errors import UserError
from testbed.grid.parts import Parts
from testbed.league.expand import expand
from testbed.league.grid import LeagueCell, LeagueGrid
from testbed.league.traces import LeagueTrace, resolve_traces
from testbed.run.files import write_json
from testbed.scenario import parse_scenario
from testbed.units import format_duration, format_rate
from traces.parquet import write_parquet

SCHEMA = 1
_LOCAL_SHARE = 0.02  # of answers that the agent's own fallback gave instead of the scheme

INTERVALS = (
    "Intervals: 95 %, from 5000 resamples of source traces, since cells of one trace are not "
    "independent; none from "
    "fewer than three traces. Pairs share trace, settings and seed."
)


@dataclass(frozen=True)
class League:
    """Cells of a grid in a folder."""

    out: Path
    grid: LeagueGrid
    traces: Sequence[LeagueTrace]
    cells: Sequence[LeagueCell]

    @property
    def left(self) -> list[LeagueCell]:
        """Those that are not done yet, in the order to run them."""
        return self.parts.left(self.cells)

    @property
    def parts(self) -> Parts:
        """The rows of the cells that are done."""
        return Parts(self.out, SCHEMA)

    def part(self, cell: LeagueCell) -> Path:
        """The file whose existence says that a cell is done."""
        return self.parts.path(cell)

    def trace_path(self, name: str) -> Path:
        """The file of a trace, for the workers."""
        return self.out / "traces" / f"{name}.parquet"

    def write(self) -> None:
        """The traces and `league.json`: the grid, and where every trace is from."""
        (self.out / "cells").mkdir(parents=True, exist_ok=True)
        (self.out / "traces").mkdir(exist_ok=True)
        for trace in self.traces:
            write_parquet(trace.trace, self.trace_path(trace.name))
        about = {
            trace.name: {"family": trace.family, "split": trace.split, "scale": trace.scale}
            for trace in self.traces
        }
        grid = self.grid.model_dump(mode="json", by_alias=True)
        write_json(self.out / "league.json", {"schema": SCHEMA, "grid": grid, "traces": about})

    def finish(self, cell: LeagueCell, measured: dict[str, Any]) -> None:
        """Keep a cell's row."""
        self.parts.write(cell, {**cell.about, **measured})

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the cells that are done. Raises UserError for a part that cannot be read."""
        return self.parts.read(self.cells)

    def report(self, baseline: str | None) -> int:
        """Write league.parquet, league.md and league.html of what is done; returns the number of
        cells.
        """
        from analysis.league import (
            build,
        )  # late: pandas and plotly are not for the time of the traffic
        from analysis.league.table import to_table

        rows = self.rows()
        build(self.out, to_table(rows), [*self._notes(len(rows)), *cautions(rows)], baseline)
        return len(rows)

    def _notes(self, done: int) -> list[str]:
        grid = self.grid
        families = Counter(trace.family for trace in self.traces)
        scenarios = len({cell.about["scenario"] for cell in self.cells})
        notes = [
            f"{done} of {len(self.cells)} cells are done: {len(grid.schemes)} schemes on "
            f"{scenarios} scenarios, "
            f"{format_duration(grid.duration_ns)} each.",
            f"Traces of the split {grid.split!r}: "
            + ", ".join(f"{family} ({count})" for family, count in sorted(families.items()))
            + ".",
            f"RTT {', '.join(format_duration(rtt) for rtt in grid.rtt_ns)}; buffer "
            f"{', '.join(str(buffer) for buffer in grid.buffer)}; seeds: {len(grid.seeds)}"
            + (
                f"; {grid.per_trace} scenarios drawn for each trace."
                if grid.per_trace
                else "; every combination."
            ),
            INTERVALS,
        ]
        if grid.split == "train":
            notes.append(
                "These are training traces: no evidence of how a policy does on traces that it has "
                "not seen."
            )
        if scaled := [trace for trace in self.traces if trace.scale != 1.0]:
            assert grid.max_mean_rate_bps is not None
            by_family = Counter(trace.family for trace in scaled)
            notes.append(
                f"Scaled down to a mean of {format_rate(grid.max_mean_rate_bps)}, for side by side "
                "workers: "
                + ", ".join(
                    f"{count} of {families[family]} {family}"
                    for family, count in sorted(by_family.items())
                )
                + f" (factors {min(t.scale for t in scaled):.3g}"
                + f" to {max(t.scale for t in scaled):.3g})."
            )
        return notes


def cautions(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why results should be read with care: what the links, the machine or the agents warned of."""
    found = []
    if warned := [row for row in rows if row["warnings"]]:
        kinds = Counter(
            _kind(text) for row in warned for text in dict.fromkeys(row["warnings"].split("\n"))
        )
        often = "; ".join(f"{text} ({count})" for text, count in kinds.most_common(3))
        found.append(f"{len(warned)} of {len(rows)} cells have warnings, most often: {often}.")
    if fallen := [row for row in rows if (row["local_share"] or 0) > _LOCAL_SHARE]:
        found.append(
            f"In {len(fallen)} cells more than {_LOCAL_SHARE:.0%} of the answers were the agent's "
            "own fallback, not "
            "the policy's."
        )
    return found


def _kind(text: str) -> str:
    """A warning without its figures, so that the same kind is counted once."""
    return re.sub(r"\d+(\.\d+)?", "…", text)


def check_schemes(schemes: Sequence[str]) -> None:
    """Raises UserError for a scheme that cannot run here, before anything is created."""
    for scheme in schemes:
        try:
            scenario = parse_scenario({"cc": [scheme]}, "--schemes")
            for controller in cc.controllers(scenario, SharedServer(scenario)).values():
                controller.check()
        except (UserError, ValueError) as error:
            raise UserError(f"scheme {scheme}: {error}; leave it out with --schemes") from error


def plan(
    grid: LeagueGrid, patterns: Sequence[str], out: Path, collection: Path | None = None
) -> League:
    """What a grid means in this folder. Creates nothing. Raises UserError or TraceError."""
    traces = resolve_traces(grid, patterns, collection)
    paths = {
        trace.name: str((out / "traces" / f"{trace.name}.parquet").resolve()) for trace in traces
    }
    return League(out, grid, traces, expand(grid, traces, paths))
