"""Which cells a stress test has, and what fails in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import UserError
from testbed.scenario import parse_scenario
from testbed.stress.failures import KINDS, bursts_ns
from testbed.stress.grid import (
    StressGrid,
    chosen_failures,
    combinations_of_failures,
    expand,
    scenario_of,
)

GRID = StressGrid.model_validate({"seeds": [1]})


def test_every_combination_once_and_never_the_server_with_its_worker() -> None:
    sets = combinations_of_failures()
    assert len(sets) == len(set(sets)) == 2**4 * 3
    assert not any({"server", "worker"} <= set(one) for one in sets)


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (["none"], [()]),
        (["capacity+loss"], [("loss", "capacity")]),
        (["single"], [(kind,) for kind in KINDS]),
        (
            ["all"],
            [
                ("loss", "capacity", "route", "reverse"),
                ("loss", "capacity", "route", "reverse", "server"),
                ("loss", "capacity", "route", "reverse", "worker"),
            ],
        ),
    ],
)
def test_only_chooses(only: list[str], wanted: list[tuple[str, ...]]) -> None:
    assert chosen_failures(only) == wanted


def test_only_names_its_mistake() -> None:
    with pytest.raises(UserError, match=r"--only flood: .*loss, capacity"):
        chosen_failures(["flood"])


def test_virtual_time_has_the_failures_of_the_network_alone() -> None:
    sets = chosen_failures([], virtual=True)
    assert len(sets) == 2**4
    assert chosen_failures(["single"], virtual=True) == [(kind,) for kind in KINDS[:4]]
    assert chosen_failures(["all"], virtual=True) == [KINDS[:4]]
    virtual = {cell.id for cell in expand(GRID, sets, virtual=True)}
    assert len(virtual) == len(sets) * len(GRID.cc)
    assert not virtual & {cell.id for cell in expand(GRID, sets)}


@pytest.mark.parametrize("name", ["server", "loss+worker"])
def test_virtual_time_has_no_process_to_kill(name: str) -> None:
    with pytest.raises(UserError, match=rf"--only {re.escape(name)}: .*leave out --virtual"):
        chosen_failures([name], virtual=True)


def test_kernels_controllers_have_no_cells_with_a_dead_server() -> None:
    cells = expand(GRID, combinations_of_failures())
    counts = {name: sum(cell.about["cc"] == name for cell in cells) for name in GRID.cc}
    assert counts == {"policy": 48, "bbr": 16, "cubic": 16}
    assert len({cell.id for cell in cells}) == len(cells)


def test_a_server_that_is_killed_is_the_cells_own() -> None:
    sharing = {
        cell.about["failures"]: cell.shares_server
        for cell in expand(GRID, chosen_failures(["single"]))
        if cell.about["cc"] == "policy"
    }
    assert [name for name, shares in sharing.items() if not shares] == ["server", "worker"]


def test_all_at_once_is_one_scenario() -> None:
    scenario = scenario_of(GRID, ("loss", "capacity", "route", "reverse", "server"), "policy", 1)
    assert parse_scenario(scenario.model_dump(mode="json", by_alias=True), "printed") == scenario
    within = [step for step in scenario.steps if 4e9 <= step.at_ns < 8e9]
    assert {step.rate_bps for step in within} == {0.02 * 8e6}
    assert {step.rate_bps for step in scenario.steps if step not in within} == {8e6}
    assert {step.loss for step in within} == {0.0, 1.0}
    assert scenario.steps[-1].loss == 0
    assert scenario.steps[-1].at_ns == 8e9
    assert [(failure.kind, failure.link) for failure in scenario.failures] == [
        ("link", "short"),
        ("server", None),
    ]
    assert scenario.cross_traffic[0].direction == "reverse"


def test_controllers_of_one_seed_meet_the_same_losses() -> None:
    def steps(cc: str, seed: int) -> Any:
        return scenario_of(GRID, ("loss",), cc, seed).steps

    assert steps("policy", 1) == steps("bbr", 1) != steps("bbr", 2)


@given(loss=st.floats(0.1, 0.6), seed=st.integers(0, 99))
def test_bursts_lie_in_order_in_the_window_and_have_the_mean_asked_for(
    loss: float, seed: int
) -> None:
    begin_ns, end_ns = 10**9, 601 * 10**9
    edges = bursts_ns(loss, 40_000_000, begin_ns, end_ns, seed)
    assert len(edges) % 2 == 0
    assert edges == sorted(edges)
    assert begin_ns < edges[0]
    assert edges[-1] <= end_ns
    lost_ns = sum(edges[1::2]) - sum(edges[::2])
    assert lost_ns / (end_ns - begin_ns) == pytest.approx(loss, abs=0.06)
