"""Cells are randomised, complete and paired."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.run.plan import flow_offsets_ns, plan_cells
from testbed.scenario import parse_scenario


@given(seed=st.integers(0, 2**31 - 1), repeats=st.integers(1, 6))
def test_every_repeat_holds_every_controller_once_with_one_seed(seed: int, repeats: int) -> None:
    scenario = parse_scenario({"cc": "bbr,cubic,reno", "seed": seed, "repeats": repeats}, "flags")
    cells = plan_cells(scenario)
    assert [cell.index for cell in cells] == list(range(3 * repeats))
    assert cells == plan_cells(scenario)
    for repeat in range(repeats):
        block = [cell for cell in cells if cell.repeat == repeat]
        assert sorted(cell.cc for cell in block) == ["bbr", "cubic", "reno"]
        assert len({cell.seed for cell in block}) == 1
    assert len({cell.seed for cell in cells}) == repeats


def test_controllers_and_choosers_of_levels_are_crossed() -> None:
    data = {"cc": "bbr,cubic", "abr": "policy,bba,mpc:horizon=3", "flow": "dash", "repeats": 2}
    cells = plan_cells(parse_scenario(data, "flags"))
    assert len({(cell.cc, cell.abr, cell.repeat) for cell in cells}) == len(cells) == 12
    assert len({cell.seed for cell in cells if cell.repeat == 1}) == 1
    folders = [cell.folder for cell in cells if cell.abr == "mpc:horizon=3" and cell.cc == "bbr"]
    assert [name[4:] for name in folders] == ["bbr-mpc.horizon=3-r0", "bbr-mpc.horizon=3-r1"]


def test_the_order_varies_between_repeats() -> None:
    scenario = parse_scenario({"cc": "bbr,cubic", "repeats": 20}, "flags")
    first = [cell.cc for cell in plan_cells(scenario) if cell.index % 2 == 0]
    assert set(first) == {"bbr", "cubic"}


@given(seed=st.integers(0, 2**32 - 1))
def test_flow_starts_are_staggered_and_seeded(seed: int) -> None:
    scenario = parse_scenario({"flows": 4, "stagger": "300ms"}, "flags")
    offsets = flow_offsets_ns(scenario, seed)
    assert offsets == flow_offsets_ns(scenario, seed)
    assert len(offsets) == 4
    assert offsets[0] == 0
    assert all(0 <= offset <= 300_000_000 for offset in offsets)
