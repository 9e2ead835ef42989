"""The grid of `tbtest stress`: which failures meet, under which controllers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from pydantic import Field, ValidationError, field_validator

from settings import first_mistake
from testbed.buffer import Buffer
from testbed.controllers.registry import label, parse
from testbed.errors import UserError
from testbed.grid.axes import Strict, known_names
from testbed.grid.expand import GridRun, digest, seed_of
from testbed.quantities import BufferSize, DurationNs, Fraction, RateBps, Sysctls
from testbed.scenario import Scenario
from testbed.stress.failures import KINDS, OF_SERVER, settings_of
from testbed.units import NS_PER_MS, NS_PER_S

NONE, SINGLE, ALL = "none", "single", "all"


class StressGrid(Strict):
    """Two flows on a topology with two paths; failures act together between ``before`` and
    ``before + during``.
    """

    cc: tuple[str, ...] = Field(
        ("policy", "bbr", "cubic"), min_length=1, description="controllers to compare"
    )
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)
    rate_bps: RateBps = Field(8e6, alias="rate", description="of the bottleneck, when whole")
    rtt_ns: DurationNs = Field(20 * NS_PER_MS, alias="rtt", description="by the short way")
    detour_rtt_ns: DurationNs = Field(200 * NS_PER_MS, alias="detour_rtt")
    buffer: BufferSize = Field(Buffer(bdp=4.0), description="of the bottleneck")
    flow: str = "video"
    flows: int = Field(2, ge=1, le=64)
    flow_options: dict[str, Any] = Field(default_factory=dict)
    before_ns: DurationNs = Field(
        4 * NS_PER_S, alias="before", ge=2 * NS_PER_S, description="until the failures"
    )
    during_ns: DurationNs = Field(
        4 * NS_PER_S, alias="during", ge=NS_PER_S, description="length of the failures"
    )
    after_ns: DurationNs = Field(
        6 * NS_PER_S, alias="after", ge=2 * NS_PER_S, description="until the end"
    )
    loss: Fraction = Field(0.3, gt=0, lt=1, description="loss: mean, in bursts")
    burst_ns: DurationNs = Field(
        40 * NS_PER_MS, alias="burst", ge=NS_PER_MS, description="loss: mean length of a burst"
    )
    capacity: Fraction = Field(0.02, gt=0, lt=1, description="capacity: what is left of the rate")
    flap_ns: DurationNs = Field(
        500 * NS_PER_MS, alias="flap", ge=20 * NS_PER_MS, description="route: time on each way"
    )
    reverse_bps: RateBps = Field(
        2e6, alias="reverse", description="reverse: of the way back, which a bulk flow fills then"
    )
    sysctls: Sysctls = Field(default_factory=dict, description="of the hosts")
    policy: dict[str, Any] = Field(
        default_factory=dict, description="settings of the policy server and the agent"
    )

    @field_validator("cc")
    @classmethod
    def _by_full_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return known_names(names)

    @property
    def duration_ns(self) -> int:
        """Length of a cell."""
        return self.before_ns + self.during_ns + self.after_ns


class StressCell(GridRun):
    """One controller under one set of failures, with one seed. about: the row's keys."""

    about: dict[str, Any]

    @property
    def trace(self) -> str:
        return ""

    @property
    def controller(self) -> str:
        """Its full name."""
        return str(self.scenario["cc"][0])

    @property
    def shares_server(self) -> bool:
        """A server that is killed is the cell's own."""
        killed = any(failure["kind"] != "link" for failure in self.scenario["failures"])
        return super().shares_server and not killed


def combinations_of_failures() -> list[tuple[str, ...]]:
    """None, each alone, and every set of them; the worker dies with its server, so the two are
    never in one set.
    """
    return [
        chosen
        for count in range(len(KINDS) + 1)
        for chosen in combinations(KINDS, count)
        if not set(OF_SERVER) <= set(chosen)
    ]


def chosen_failures(only: Sequence[str], *, virtual: bool = False) -> list[tuple[str, ...]]:
    """The sets that ``--only`` names: `loss`, `loss+capacity`, `single`, `all`, `none`; every set
    for no name. virtual: those of the network alone. Raises UserError.
    """
    chosen = _named(only)
    if not virtual:
        return chosen
    for name in only:
        if dead := set(name.split("+")) & set(OF_SERVER):
            raise UserError(
                f"--only {name}: in virtual time policies decide inside the agent, so there is no "
                f"{' or '.join(sorted(dead))} to kill; leave out --virtual"
            )
    return [failures for failures in chosen if not set(failures) & set(OF_SERVER)]


def _named(only: Sequence[str]) -> list[tuple[str, ...]]:
    every = combinations_of_failures()
    if not only:
        return every
    most = max(map(len, every))
    chosen: list[tuple[str, ...]] = []
    for name in only:
        if name == SINGLE:
            chosen += [one for one in every if len(one) == 1]
        elif name == ALL:
            chosen += [one for one in every if len(one) == most]
            chosen.append(tuple(kind for kind in KINDS if kind not in OF_SERVER))
        elif name == NONE:
            chosen.append(())
        else:
            asked = set(name.split("+"))
            met = [one for one in every if set(one) == asked]
            if not met:
                raise UserError(
                    f"--only {name}: name failures with + between them ({', '.join(KINDS)}; server "
                    f"and worker not together), or {SINGLE}, {ALL}, {NONE}"
                )
            chosen += met
    return sorted(set(chosen), key=every.index)


def name_of(failures: Sequence[str]) -> str:
    """`loss+capacity`, or `none`."""
    return "+".join(failures) or NONE


def expand(
    grid: StressGrid, sets: Sequence[tuple[str, ...]], *, virtual: bool = False
) -> list[StressCell]:
    """The cells, those of one seed and set together; those in virtual time have names of their own.
    A controller that asks no policy server has none for sets with its death: they would repeat the
    set without. Raises UserError.
    """
    cells = []
    for seed in grid.seeds:
        for failures in sets:
            for cc in grid.cc:
                if parse(cc).kind == "policy" or not set(failures) & set(OF_SERVER):
                    cells.append(_cell(grid, failures, cc, seed, virtual=virtual))
    return cells


def _cell(
    grid: StressGrid, failures: tuple[str, ...], cc: str, seed: int, *, virtual: bool
) -> StressCell:
    scenario = scenario_of(grid, failures, cc, seed)
    data = scenario.model_dump(mode="json", by_alias=True)
    shown = label(cc)
    about = {
        "failures": name_of(failures),
        "cc": shown,
        "seed": seed,
        "from_s": grid.before_ns / NS_PER_S,
        "to_s": (grid.before_ns + grid.during_ns) / NS_PER_S,
        "duration_s": grid.duration_ns / NS_PER_S,
    }
    own = digest(scenario.model_dump(mode="json", exclude={"seed", "cc"}))[:8]
    name = f"{'-'.join(failures) or NONE}.{shown.replace(':', '.')}-s{seed}-{own}"
    name += "-virtual" if virtual else ""
    return StressCell(id=name, scenario=data, about=about)


def scenario_of(grid: StressGrid, failures: Sequence[str], cc: str, seed: int) -> Scenario:
    """The scenario of one cell; the seed of what is random is that of all controllers. Raises
    UserError.
    """
    settings = {
        "topology": "two-paths",
        "topology_options": {"detour_rtt": f"{grid.detour_rtt_ns / NS_PER_MS:g}ms"},
        "cc": [cc],
        "rtt": f"{grid.rtt_ns / NS_PER_MS:g}ms",
        "buffer": grid.buffer,
        "flow": grid.flow,
        "flows": grid.flows,
        "flow_options": grid.flow_options,
        "duration": f"{grid.duration_ns / NS_PER_MS:g}ms",
        "seed": seed_of(digest(["stress", seed])),
        "sysctls": grid.sysctls,
        "policy": grid.policy if parse(cc).kind == "policy" else {},
        **settings_of(grid, failures, seed),
    }
    try:
        return Scenario.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"stress: {first_mistake(error, Scenario)}") from error
