"""The grid of a collection: what its YAML says, and the runs that it means. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from policy.tasks.base import Split
from testbed.buffer import Buffer
from testbed.controllers.registry import parse
from testbed.grid.axes import Axes, Generated, Splits, Traffic, known_names, make_axes
from testbed.grid.expand import GridRun, digest, scenario_of, seed_of
from testbed.mappings import read_yaml
from testbed.quantities import BufferSize, DurationNs
from testbed.scenario import Scenario
from testbed.units import format_duration
from traces.bundled import index as bundled

_FIRST_KEYS = frozenset(
    (
        "topology",
        "topology_options",
        "cc",
        "trace",
        "trace_format",
        "rate_bps",
        "trace_start",
        "flow",
        "flows",
        "flow_options",
        "stagger_ns",
        "rtt_ns",
        "buffer",
        "queue",
        "loss",
        "jitter_ns",
        "duration_ns",
        "repeats",
        "seed",
        "link_backend",
        "cross_traffic",
        "pcap",
        "policy_server",
        "policy",
    )
)
"""Keys of a scenario that always count in a run's id. One that scenarios got later counts where it
is not at its default, so that a collection that was begun goes on.
"""


class Grid(Axes):
    """Every combination of traces, round trips, buffers and traffic; each is run under every
    controller.
    """

    traces: tuple[str | Generated, ...] = Field(
        default_factory=lambda: tuple(bundled()), min_length=1
    )
    controllers: tuple[str, ...] = Field(
        default=(
            "observe:bbr",
            "observe:cubic",
            "policy:gcc",
            "policy:bbr-lite",
            "policy:explore",
            "policy:oracle",
        ),
        min_length=1,
    )
    rtt_ns: tuple[DurationNs, ...] = Field(
        default=(20 * 10**6, 40 * 10**6, 80 * 10**6, 160 * 10**6), alias="rtt", min_length=1
    )
    buffer: tuple[BufferSize, ...] = Field(
        default=(Buffer(bdp=1.0), Buffer(bdp=2.0), Buffer(bdp=4.0)), min_length=1
    )
    traffic: tuple[Traffic, ...] = Field(
        default=(Traffic(flow="bulk"), Traffic(flow="video"), Traffic(flow="bulk", flows=2)),
        min_length=1,
    )
    per_trace: int | None = Field(
        default=4, ge=1, description="combinations drawn for each trace; null: all of them"
    )
    splits: Splits = Splits()

    @field_validator("controllers")
    @classmethod
    def _recorded(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = known_names(names)
        for name in names:
            if parse(name).kind not in ("policy", "observe"):
                raise ValueError(
                    f"{name!r} leaves no ACK records; use policy:TIER or observe:ALGORITHM"
                )
        return names


class CollectRun(GridRun):
    """One scenario to run under all controllers, and what the dataset says of where it comes
    from.
    """

    source_trace: str
    family: str
    split: Split

    @property
    def trace(self) -> str:
        return self.source_trace


def make_grid(data: Mapping[str, Any], source: str) -> Grid:
    """The grid that `data` says. Raises UserError naming source and key."""
    return make_axes(Grid, data, source)


def read_grid(path: Path) -> Grid:
    """The grid in a YAML file. Raises UserError naming file and key."""
    return make_grid(read_yaml(path), str(path))


def expand(
    grid: Grid, paths: Mapping[str, str], family_of: Mapping[str, str], splits: Mapping[str, str]
) -> list[CollectRun]:
    """The grid's runs, by trace. A run's id depends on its own settings alone, so that a grid may
    grow.

    paths: the file of each trace.
    """
    runs = []
    combinations = list(product(grid.rtt_ns, grid.buffer, grid.traffic))
    for name in sorted(paths):
        for rtt_ns, buffer, traffic in _drawn(combinations, grid, name):
            # Flows that come and go within a cell show what sharing looks like.
            stagger = format_duration(grid.duration_ns // 4)
            scenario = scenario_of(
                grid, name, rtt_ns, buffer, traffic, cc=grid.controllers, stagger=stagger
            )
            at_default = {
                name
                for name, field in Scenario.model_fields.items()
                if name not in _FIRST_KEYS
                and getattr(scenario, name) == field.get_default(call_default_factory=True)
            }
            known = scenario.model_dump(mode="json", exclude=at_default)
            own = digest([grid.seed, grid.max_mean_rate_bps, known])
            seed = seed_of(own)
            data = scenario.model_dump(mode="json", by_alias=True)
            data |= {"trace": paths[name], "seed": seed}
            if any(cc.startswith("policy") for cc in grid.controllers):
                data["policy"] = {"seed": seed}
            runs.append(
                CollectRun(
                    id=f"{name}-{own[:10]}",
                    scenario=data,
                    source_trace=name,
                    family=family_of[name],
                    split=splits[name],  # type: ignore[arg-type]  # pydantic checks it
                )
            )
    return runs


def _drawn(combinations: Sequence[Any], grid: Grid, trace: str) -> list[Any]:
    if grid.per_trace is None or grid.per_trace >= len(combinations):
        return list(combinations)
    rng = np.random.default_rng([grid.seed, *trace.encode()])
    chosen = rng.choice(len(combinations), grid.per_trace, replace=False)
    return [combinations[index] for index in sorted(chosen)]
