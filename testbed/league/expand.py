"""The cells of a league's grid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from testbed.buffer import Buffer
from testbed.controllers.registry import label
from testbed.grid.axes import Traffic
from testbed.grid.expand import digest, scenario_of, seed_of
from testbed.league.grid import LeagueCell, LeagueGrid
from testbed.league.traces import LeagueTrace
from testbed.links.impairments import Loss
from testbed.loss import format_loss
from testbed.parts import CrossTraffic
from testbed.scenario import Scenario
from testbed.traffic.abr import abr_label, asked_of_server
from testbed.units import NS_PER_MS, NS_PER_S, format_duration


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
