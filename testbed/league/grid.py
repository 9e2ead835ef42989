"""The grid of a league: what its YAML says, and the cells that it means. Pure."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from policy.tasks.base import Split
from testbed.buffer import Buffer
from testbed.grid.axes import Axes, Generated, Splits, Traffic, known_names, make_axes
from testbed.grid.expand import GridRun
from testbed.parts import CrossTraffic
from testbed.quantities import BufferSize, DurationNs
from testbed.traffic.abr import DASH, abr_label, full_abr_names
from testbed.units import NS_PER_MS, NS_PER_S

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
