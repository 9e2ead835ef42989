"""The grid of a league: what its YAML says, and the cells that it means. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from policy.tasks.base import Split
from testbed.buffer import Buffer
from testbed.controllers.registry import label
from testbed.grid.axes import Axes, Generated, Splits, Traffic, known_names, make_axes
from testbed.grid.expand import GridRun, digest, scenario_of, seed_of
from testbed.league.traces import LeagueTrace
from testbed.links.base import Loss
from testbed.loss import format_loss
from testbed.parts import CrossTraffic
from testbed.quantities import BufferSize, DurationNs
from testbed.scenario import Scenario
from testbed.traffic.abr import DASH, abr_label, asked_of_server, full_abr_names
from testbed.units import NS_PER_MS, NS_PER_S, format_duration

_QUICK_NS = 5 * NS_PER_S
_QUICK_DASH_NS = 20 * NS_PER_S
"""A few chunks of video."""
_QUICK_TRACES = 3  # of a family: enough for an interval
_BULK_CUBIC, _BULK_BBR = (
    CrossTraffic.model_validate({"kind": "bulk", "cc": cc}) for cc in ("cubic", "bbr")
)


class LeagueGrid(Axes):
    """Every combination of traces, round trips, buffers, traffic and seeds; each is a scenario for
    all schemes.
    """

    traces: tuple[str | Generated, ...] = Field(
        default=(
            Generated(generate="lte", name="lte-driving", seeds=(9001, 9002, 9003)),
            Generated(generate="wifi", seeds=(9101, 9102, 9103)),
            Generated(generate="5g-mmwave", seeds=(9201, 9202, 9203)),
        )
    )
    schemes: tuple[str, ...] = Field(
        default=("policy", "policy:light", "bbr", "cubic"), min_length=1
    )
    abr: tuple[str, ...] = Field(
        default=(), description="who chooses levels, as --abr; of dash traffic, with every scheme"
    )
    rtt_ns: tuple[DurationNs, ...] = Field(
        default=(20 * NS_PER_MS, 60 * NS_PER_MS, 120 * NS_PER_MS), alias="rtt", min_length=1
    )
    buffer: tuple[BufferSize, ...] = Field(
        default=(Buffer(bdp=1.0), Buffer(bdp=4.0), Buffer(bdp=16.0)), min_length=1
    )
    traffic: tuple[Traffic, ...] = Field(
        default=(
            Traffic(flow="video"),
            Traffic(flow="bulk"),
            Traffic(flow="bulk", flows=2),
            Traffic(flow="bulk", cross_traffic=(_BULK_CUBIC,)),
            Traffic(flow="bulk", cross_traffic=(_BULK_BBR,)),
        ),
        min_length=1,
    )
    seeds: tuple[int, ...] = Field(default=(1, 2, 3, 4, 5), min_length=1)
    per_family: int | None = Field(
        default=None, ge=1, description="traces drawn from each family; null: all of them"
    )
    stagger_ns: DurationNs = Field(
        default=200 * NS_PER_MS, alias="stagger", description="flows start within this"
    )
    per_trace: int | None = Field(
        default=10,
        ge=1,
        description="scenarios drawn for each trace, traffic in turn; null: all of them",
    )
    splits: Splits | None = Field(
        default=None,
        description="as in the grid that was collected with; null: no trace was trained on",
    )
    split: Split = Field(default="test", description="only traces of this split")
    server: dict[str, Any] = Field(
        default_factory=dict, description="settings of the policy server: models, device, apc, ..."
    )
    agent: dict[str, Any] = Field(default_factory=dict, description="settings of the agent")

    @field_validator("schemes")
    @classmethod
    def _by_full_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return known_names(names)

    @field_validator("abr")
    @classmethod
    def _by_full_abr_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        full = full_abr_names(names)
        labels = [abr_label(name) for name in full]
        if twice := [name for name in labels if labels.count(name) > 1]:
            raise ValueError(f"two would both be called {twice[0]}; rename one of the files")
        return full

    @model_validator(mode="after")
    def _levels_are_chosen_once(self) -> LeagueGrid:
        if self.abr and not any(traffic.flow == DASH for traffic in self.traffic):
            raise ValueError("abr: no traffic is dash, so nobody would choose levels")
        if self.abr and any("abr" in traffic.flow_options for traffic in self.traffic):
            raise ValueError("abr: it is an axis already; leave it out of flow_options")
        return self

    def choosers(self, flow: str) -> tuple[str, ...]:
        """Who chooses levels in traffic of this kind; "" where the kind's own default does."""
        return self.abr if self.abr and flow == DASH else ("",)

    def quick(self) -> LeagueGrid:
        """The same grid in minutes: short cells, few traces, one scenario of each traffic per
        trace, and one seed.
        """
        return self.model_copy(
            update={
                "duration_ns": min(
                    self.duration_ns,
                    max(
                        _QUICK_DASH_NS if traffic.flow == DASH else _QUICK_NS
                        for traffic in self.traffic
                    ),
                ),
                "per_trace": min(self.per_trace or len(self.traffic), len(self.traffic)),
                "per_family": min(self.per_family or _QUICK_TRACES, _QUICK_TRACES),
                "seeds": self.seeds[:1],
            }
        )


class LeagueCell(GridRun):
    """One cell: a scheme on a scenario.

    about: the row's columns that are known before (`analysis.league.table.KEYS`).
    """

    about: dict[str, Any]

    @property
    def scheme(self) -> str:
        """Its name in tables: its congestion controller, and who chose levels where that differs
        between schemes.
        """
        return str(self.about["scheme"])

    @property
    def controller(self) -> str:
        """The full name of its congestion controller."""
        return str(self.scenario["cc"][0])

    @property
    def trace(self) -> str:
        return str(self.about["trace"])


def make_grid(data: dict[str, Any], source: str) -> LeagueGrid:
    """The grid that `data` says. Raises UserError naming source and key."""
    return make_axes(LeagueGrid, data, source)


def traffic_label(traffic: Traffic) -> str:
    """`video`, `bulk x2`, `bulk vs cubic`, `bulk, loss 0.5%`: results are told apart by it."""
    text = traffic.flow if traffic.flows == 1 else f"{traffic.flow} x{traffic.flows}"
    if traffic.cross_traffic:
        text += " vs " + " + ".join(_cross_name(cross) for cross in traffic.cross_traffic)
    if traffic.loss is not None:
        text += f", loss {_loss_name(traffic.loss)}"
    return text


def _loss_name(loss: Loss) -> str:
    return f"{100 * loss.loss_good:.6g}%" if loss.p_good_bad == 0 else format_loss(loss)


def _cross_name(cross: CrossTraffic) -> str:
    """A bulk flow is known by its controller alone."""
    return cross.cc if cross.kind == "bulk" else f"{cross.kind}/{cross.cc}"


def expand(
    grid: LeagueGrid, traces: Sequence[LeagueTrace], paths: dict[str, str]
) -> list[LeagueCell]:
    """The grid's cells in the order to run them: scenarios at random, the schemes of each together,
    at random too.

    A cell's id and a scenario's seed depend on their own settings alone, so that a grid may grow;
    all schemes of a scenario have its seed. paths: the file of each trace. Raises UserError.
    """
    scenarios = [
        scenario
        for trace in sorted(traces, key=lambda trace: trace.name)
        for scenario in _scenarios(grid, trace)
    ]
    order = np.random.Generator(np.random.PCG64(grid.seed))
    cells = []
    for index in order.permutation(len(scenarios)):
        scenario, about = scenarios[index]
        schemes = list(product(grid.schemes, grid.choosers(scenario.flow)))
        for chosen in order.permutation(len(schemes)):
            scheme, abr = schemes[chosen]
            cells.append(_cell(grid, scenario, about, scheme, abr, paths[about["trace"]]))
    return cells


def _scenarios(grid: LeagueGrid, trace: LeagueTrace) -> Iterator[tuple[Scenario, dict[str, Any]]]:
    for rtt_ns, buffer, traffic, seed in _drawn(grid, trace.name):
        stagger = format_duration(grid.stagger_ns)
        scenario = scenario_of(grid, trace.name, rtt_ns, buffer, traffic, stagger=stagger)
        own = digest([seed, trace.scale, scenario.model_dump(mode="json", exclude_unset=True)])
        about = {
            "scenario": f"{trace.name}-{own[:10]}",
            "trace": trace.name,
            "family": trace.family,
            "split": trace.split,
            "traffic": traffic_label(traffic),
            "flow": traffic.flow,
            "flows": traffic.flows,
            "cross": ",".join(_cross_name(cross) for cross in traffic.cross_traffic),
            "rtt_ms": rtt_ns / NS_PER_MS,
            "buffer": str(buffer),
            "loss": "" if traffic.loss is None else _loss_name(traffic.loss),
            "seed": seed,
            "duration_s": grid.duration_ns / NS_PER_S,
            "trace_mbps": trace.trace.mean_bps() / 1e6,
            "trace_scale": trace.scale,
        }
        yield scenario.model_copy(update={"seed": seed_of(own)}), about


def _cell(
    grid: LeagueGrid, scenario: Scenario, about: dict[str, Any], scheme: str, abr: str, path: str
) -> LeagueCell:
    data = scenario.model_dump(mode="json", by_alias=True) | {"cc": [scheme], "trace": path}
    shown = label(scheme)
    name = f"{about['scenario']}.{shown.replace(':', '.')}"
    if abr:
        data["abr"] = [abr]
        shown = f"{shown} + {abr_label(abr)}"
        name += re.sub(r"[^A-Za-z0-9._=-]", ".", f"-{abr_label(abr)}")
    if scheme.startswith("policy") or asked_of_server(abr) is not None:
        # What the policy is made of belongs to what was run.
        if grid.server or grid.agent:
            name += f"-{digest([grid.server, grid.agent])[:6]}"
        data["policy"] = grid.agent
    return LeagueCell(id=name, scenario=data, about={**about, "scheme": shown})


def _drawn(grid: LeagueGrid, trace: str) -> list[tuple[int, Buffer, Traffic, int]]:
    """The trace's combinations: all, or `per_trace` at random, each kind of traffic as often as the
    others.

    A kind that the grid names several times has as many turns; no scenario is drawn twice.
    """
    places: dict[int, list[int]] = {}  # of each kind in the grid's list
    for place, traffic in enumerate(grid.traffic):
        places.setdefault(grid.traffic.index(traffic), []).append(place)
    every = list(product(grid.rtt_ns, grid.buffer, places, grid.seeds))
    if grid.per_trace is not None and grid.per_trace < len(every):
        rng = np.random.default_rng([grid.seed, *trace.encode()])
        shuffled = [every[index] for index in rng.permutation(len(every))]
        # Which kinds of traffic get one more is drawn as well, so that over many traces none comes
        # short.
        turns = rng.permutation(len(grid.traffic)).tolist()
        seen: Counter[int] = Counter()
        rounds = []
        for combination in shuffled:
            kind = combination[2]
            number, place = divmod(seen[kind], len(places[kind]))
            rounds.append((number, turns.index(places[kind][place]), combination))
            seen[kind] += 1
        every = [
            chosen for _, _, chosen in sorted(rounds, key=lambda item: item[:2])[: grid.per_trace]
        ]
    return [(rtt_ns, buffer, grid.traffic[kind], seed) for rtt_ns, buffer, kind, seed in every]
