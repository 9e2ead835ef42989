"""Grids of leagues: cells that are paired, ids that stay, an order that is seeded, and mistakes
named.
"""

from __future__ import annotations

from collections import Counter

import pytest

from policy.errors import PolicyError
from testbed.controllers.server import shared_settings
from testbed.errors import UserError
from testbed.grid.axes import Traffic
from testbed.grid.work import served_by
from testbed.league.expand import expand, traffic_label
from testbed.league.grid import LeagueGrid, make_grid
from testbed.league.traces import LeagueTrace
from testbed.scenario import parse_scenario
from traces.model import constant


def trace(name, **given):
    made = constant(5e6)
    return LeagueTrace(type(made)(name, made.period_ns, steps=made.steps), "lte", "test", **given)


def cells(names="ab", **given):
    grid = make_grid({"schemes": ["policy", "policy:light", "bbr"]} | given, "test")
    return expand(grid, [trace(name) for name in names], {name: f"/x/{name}" for name in names})


def test_every_combination_where_nothing_is_drawn():
    found = cells(per_trace=None, rtt=["20ms", "60ms"], buffer=["1bdp"], seeds=[1, 2])
    assert len(found) == 2 * 2 * 1 * 5 * 2 * 3
    assert len({cell.id for cell in found}) == len(found)


def test_schemes_of_a_scenario_differ_in_nothing_else():
    by_scenario = {}
    for cell in cells():
        settings = {
            key: value for key, value in cell.scenario.items() if key not in ("cc", "policy")
        }
        by_scenario.setdefault(cell.about["scenario"], []).append((cell.scheme, settings))
    for pairs in by_scenario.values():
        assert {scheme for scheme, _ in pairs} == {"policy", "policy:persistence", "bbr"}
        assert all(settings == pairs[0][1] for _, settings in pairs)
    assert len({settings["seed"] for ((_, settings), *_) in by_scenario.values()}) == len(
        by_scenario
    )


def test_jobs_are_scenarios_of_one_scheme():
    for cell in cells():
        scenario = parse_scenario(cell.scenario, cell.id)
        assert scenario.cc == (cell.scheme,)
        assert scenario.trace == f"/x/{cell.about['trace']}"


def test_a_growing_grid_keeps_its_cells():
    assert {cell.id for cell in cells("a")} < {cell.id for cell in cells("ab")}
    few, many = cells(schemes=["bbr"]), cells(schemes=["bbr", "cubic"])
    assert {cell.id for cell in few} == {cell.id for cell in many if cell.scheme == "bbr"}


def test_what_the_policy_is_made_of_makes_it_another_cell():
    before, after = cells(), cells(server={"models": {"llm": "other"}})
    same = {cell.id for cell in before} & {cell.id for cell in after}
    assert same == {cell.id for cell in before if cell.scheme == "bbr"}


def test_the_order_is_random_and_seeded_but_scenarios_stay_together():
    found = cells()
    assert found == cells()
    assert [cell.about["trace"] for cell in found] != sorted(cell.about["trace"] for cell in found)
    scenarios = [cell.about["scenario"] for cell in found]
    blocks = [scenarios[start : start + 3] for start in range(0, len(scenarios), 3)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert (
        len(
            {
                tuple(cell.scheme for cell in found[start : start + 3])
                for start in range(0, len(found), 3)
            }
        )
        > 1
    )


@pytest.mark.parametrize("per_trace", [5, 7, 12])
def test_draws_give_every_traffic_its_turn(per_trace):
    counts = Counter(
        cell.about["traffic"] for cell in cells("a", per_trace=per_trace, schemes=["bbr"])
    )
    assert sum(counts.values()) == per_trace
    assert max(counts.values()) - min(counts[kind] for kind in counts) <= 1
    assert len(counts) == 5


@pytest.mark.parametrize(
    ("per_trace", "counts"),
    [(3, {"video": 2, "bulk": 1}), (7, {"video": 4, "bulk": 3}), (None, {"video": 4, "bulk": 4})],
)
def test_a_kind_named_twice_has_two_turns_and_no_scenario_is_drawn_twice(per_trace, counts):
    traffic = [{"flow": "video"}, {"flow": "bulk"}, {"flow": "video"}]
    axes = {"rtt": ["20ms"], "buffer": ["1bdp", "4bdp"], "seeds": [1, 2], "schemes": ["bbr"]}
    found = cells("a", per_trace=per_trace, traffic=traffic, **axes)
    assert Counter(cell.about["traffic"] for cell in found) == counts
    assert len({cell.id for cell in found}) == len(found)


def test_quick_is_small():
    grid = LeagueGrid().quick()
    assert grid.duration_ns == 5 * 10**9
    assert (grid.per_trace, grid.per_family, grid.seeds) == (len(grid.traffic), 3, (1,))


@pytest.mark.parametrize(
    ("traffic", "label"),
    [
        ({"flow": "video"}, "video"),
        ({"flow": "bulk", "flows": 4}, "bulk x4"),
        ({"flow": "bulk", "cross_traffic": [{"kind": "bulk", "cc": "bbr"}]}, "bulk vs bbr"),
        ({"flow": "video", "loss": "0.5%"}, "video, loss 0.5%"),
        (
            {"flow": "bulk", "cross_traffic": [{"kind": "onoff", "cc": "cubic"}]},
            "bulk vs onoff/cubic",
        ),
    ],
)
def test_labels(traffic, label):
    assert traffic_label(Traffic.model_validate(traffic)) == label


def test_the_shared_server_is_for_policies_but_not_for_the_oracle():
    address = "unix:/x"
    served = {
        cell.scheme: served_by(cell, address).scenario["policy_server"]
        for cell in cells("a", schemes=["policy", "oracle", "bbr"])
    }
    assert served == {"policy": address, "policy:oracle": None, "bbr": None}
    assert all(served_by(cell, None) == cell for cell in cells("a"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"schemes": ["policy:light", "policy:persistence"]},
            "schemes: policy:persistence is named twice",
        ),
        ({"rtt": [40]}, "rtt.0: .*40ms"),
        ({"nonsense": 1}, "unknown key 'nonsense'; known: traces, rtt"),
    ],
)
def test_mistakes_name_the_key(data, message):
    with pytest.raises(UserError, match=message):
        make_grid(data, "grid.yaml")


def test_an_impossible_scenario_is_a_mistake_of_the_grid():
    with pytest.raises(UserError, match=r"grid: .*too short to measure"):
        cells(duration="500ms", stagger="0s")


DASH_AND_BULK = {"traffic": [{"flow": "dash"}, {"flow": "bulk"}], "schemes": ["bbr", "cubic"]}


def test_levels_are_an_axis_of_dash_traffic_alone():
    found = cells("a", **DASH_AND_BULK, abr=["policy", "bola"], per_trace=None, seeds=[1])
    dash = [cell for cell in found if cell.about["flow"] == "dash"]
    schemes = {"bbr + policy", "bbr + bola", "cubic + policy", "cubic + bola"}
    assert {cell.scheme for cell in dash} == schemes
    assert {cell.scheme for cell in found if cell.about["flow"] == "bulk"} == {"bbr", "cubic"}
    assert len({cell.id for cell in found}) == len(found)
    for cell in dash:
        assert parse_scenario(cell.scenario, cell.id).abr == (cell.scheme.partition(" + ")[2],)
        assert cell.controller in ("bbr", "cubic")
        # A server of many runs answers the players that ask for a policy.
        assert cell.shares_server == cell.scheme.endswith("policy")


def test_the_shared_server_answers_players():
    assert shared_settings(["bbr"], {}) is None
    settings = shared_settings(["bbr", "policy:gcc"], {"seed": 3}, ["default", "mpc", "default"])
    assert settings is not None
    assert settings["abr"] == ["default", "mpc"]
    assert settings["seed"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"abr": ["bola"], "traffic": [{"flow": "bulk"}]}, "no traffic is dash"),
        ({"abr": ["bolo"], "traffic": [{"flow": "dash"}]}, "no abr 'bolo'"),
        ({"abr": ["bola", "bola"], "traffic": [{"flow": "dash"}]}, "named twice"),
        (
            {
                "abr": ["policy:/a/n.safetensors", "policy:/b/n.safetensors"],
                "traffic": [{"flow": "dash"}],
            },
            "both be called policy:n.safetensors",
        ),
        (
            {"abr": ["bola"], "traffic": [{"flow": "dash", "flow_options": {"abr": "bba"}}]},
            "it is an axis already",
        ),
    ],
)
def test_mistakes_in_who_chooses_levels_are_named(given, message):
    with pytest.raises((UserError, PolicyError), match=message):
        make_grid(given, "test")
