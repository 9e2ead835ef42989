"""The grid of a collection: what its YAML says, and the scenarios that it means. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from policy.tasks.base import Split
from policy.tasks.congestion.schema import assign_splits
from settings import first_mistake
from testbed.buffer import Buffer
from testbed.controllers.registry import full_names, parse
from testbed.errors import UserError
from testbed.scenario import (
    BufferSize,
    CrossTraffic,
    DurationNs,
    Loss,
    RateBps,
    Scenario,
    read_yaml,
)
from testbed.units import format_duration
from traces.bundled import index as bundled


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class Generated(_Strict):
    """Traces of one generator, one per seed; each is a source trace of its own."""

    generate: str = Field(description="a generator of `tbtest traces generate`")
    seeds: tuple[int, ...] = Field(min_length=1)
    duration_ns: DurationNs = Field(default=60 * 10**9, alias="duration")
    parameters: dict[str, Any] = Field(default_factory=dict)
    name: str | None = Field(
        default=None, description="family, and start of the names; default: the generator's name"
    )


class Traffic(_Strict):
    """What runs over the bottleneck."""

    flow: str = "bulk"
    flows: int = Field(default=1, ge=1, le=64)
    flow_options: dict[str, Any] = Field(default_factory=dict)
    loss: Loss = None
    cross_traffic: tuple[CrossTraffic, ...] = ()


class Splits(_Strict):
    """Shares drawn within each family, or patterns of trace names; what neither takes is for
    training.
    """

    validation: float | tuple[str, ...] = 0.15
    test: float | tuple[str, ...] = 0.15

    @model_validator(mode="after")
    def _of_one_kind(self) -> Splits:
        if isinstance(self.validation, tuple) != isinstance(self.test, tuple):
            raise ValueError(
                "give shares for both validation and test, or patterns for both ([]: no trace)"
            )
        return self


class Grid(_Strict):
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
    topology: str = "dumbbell"
    topology_options: dict[str, Any] = Field(default_factory=dict)
    duration_ns: DurationNs = Field(default=30 * 10**9, alias="duration")
    per_trace: int | None = Field(
        default=4, ge=1, description="combinations drawn for each trace; null: all of them"
    )
    max_mean_rate_bps: RateBps | None = Field(
        default=50e6,
        alias="max_mean_rate",
        description="faster traces are scaled down to it; null: none",
    )
    splits: Splits = Splits()
    seed: int = Field(default=1, ge=0, lt=2**31)

    @field_validator("controllers")
    @classmethod
    def _recorded(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = full_names(names)
        except UserError as error:
            raise ValueError(str(error)) from error
        for name in names:
            if parse(name).kind not in ("policy", "observe"):
                raise ValueError(
                    f"{name!r} leaves no ACK records; use policy:TIER or observe:ALGORITHM"
                )
        return names


class Job(_Strict):
    """One scenario to run, and what the dataset says of where it comes from."""

    id: str
    scenario: dict[str, Any]
    source_trace: str
    family: str
    split: Split


def make_grid(data: Mapping[str, Any], source: str) -> Grid:
    """The grid that `data` says. Raises UserError naming source and key."""
    try:
        return Grid.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {first_mistake(error, Grid)}") from error


def read_grid(path: Path) -> Grid:
    """The grid in a YAML file. Raises UserError naming file and key."""
    return make_grid(read_yaml(path), str(path))


def split_traces(
    splits: Splits, family_of: Mapping[str, str], seed: int, recorded: Mapping[str, str]
) -> dict[str, str]:
    """The split of every trace. What is `recorded` stays: traces added later are drawn among
    themselves.

    Raises UserError for a pattern that meets no trace, a trace that two patterns claim, or one
    whose recorded split differs from what a pattern says.
    """
    if isinstance(splits.validation, float) and isinstance(splits.test, float):
        new = {name: family for name, family in family_of.items() if name not in recorded}
        drawn = assign_splits(new, validation=splits.validation, test=splits.test, seed=seed)
        return {name: recorded.get(name) or drawn[name] for name in family_of}
    asked: dict[str, str] = {}
    for split, patterns in (("validation", splits.validation), ("test", splits.test)):
        assert isinstance(patterns, tuple)
        for pattern in patterns:
            met = [name for name in family_of if fnmatch(name, pattern)]
            if not met:
                raise UserError(f"splits.{split}: {pattern!r} meets no trace of the grid")
            for name in met:
                if asked.setdefault(name, split) != split:
                    raise UserError(
                        f"splits: trace {name} is in validation and in test; change a pattern"
                    )
    result = {name: asked.get(name, "train") for name in family_of}
    for name, split in result.items():
        if recorded.get(name, split) != split:
            raise UserError(
                f"splits: trace {name} is in {recorded[name]} in the dataset, the grid says "
                f"{split}; "
                "change the grid or collect into another --out"
            )
    return result


def expand(
    grid: Grid, paths: Mapping[str, str], family_of: Mapping[str, str], splits: Mapping[str, str]
) -> list[Job]:
    """The grid's jobs, by trace. A job's id depends on its own settings alone, so that a grid may
    grow.

    paths: the file of each trace.
    """
    jobs = []
    combinations = list(product(grid.rtt_ns, grid.buffer, grid.traffic))
    for name in sorted(paths):
        for rtt_ns, buffer, traffic in _drawn(combinations, grid, name):
            settings = {
                "topology": grid.topology,
                "topology_options": grid.topology_options,
                "cc": grid.controllers,
                "trace": name,
                "trace_start": "random",
                "rtt": format_duration(rtt_ns),
                "buffer": buffer,
                **{key: getattr(traffic, key) for key in Traffic.model_fields},
                "duration": format_duration(grid.duration_ns),
                # Flows that come and go within a cell show what sharing looks like.
                "stagger": format_duration(grid.duration_ns // 4),
            }
            try:
                scenario = Scenario.model_validate(settings)
            except ValidationError as error:
                raise UserError(f"grid: {first_mistake(error, Scenario)}") from error
            text = json.dumps(
                [grid.seed, grid.max_mean_rate_bps, scenario.model_dump(mode="json")],
                sort_keys=True,
            )
            digest = hashlib.sha256(text.encode()).hexdigest()
            seed = int(digest[:7], 16)
            data = scenario.model_dump(mode="json", by_alias=True)
            data |= {"trace": paths[name], "seed": seed}
            if any(cc.startswith("policy") for cc in grid.controllers):
                data["policy"] = {"seed": seed}
            jobs.append(
                Job(
                    id=f"{name}-{digest[:10]}",
                    scenario=data,
                    source_trace=name,
                    family=family_of[name],
                    split=splits[name],  # type: ignore[arg-type]  # pydantic checks it
                )
            )
    return jobs


def _drawn(combinations: Sequence[Any], grid: Grid, trace: str) -> list[Any]:
    if grid.per_trace is None or grid.per_trace >= len(combinations):
        return list(combinations)
    rng = np.random.default_rng([grid.seed, *trace.encode()])
    chosen = rng.choice(len(combinations), grid.per_trace, replace=False)
    return [combinations[index] for index in sorted(chosen)]
