"""Which cells of a stress test share a run."""

from __future__ import annotations

from testbed.scenario import parse_scenario
from testbed.stress.grid import StressGrid, chosen_failures, expand
from testbed.stress.spread import together

GRID = StressGrid.model_validate({"seeds": [1, 2], "policy": {"window_ns": 50_000_000}})


def test_a_guest_has_all_controllers_of_a_set_and_seed() -> None:
    cells = expand(GRID, chosen_failures(["none", "loss"], virtual=True), virtual=True)
    runs = together(cells, virtual=True)
    assert [cell for run in runs for cell in run.cells] == cells
    assert [len(run.cells) for run in runs] == [3] * 4
    assert len({run.id for run in runs}) == 4
    for run in runs:
        scenario = parse_scenario(run.scenario, run.id)
        assert list(scenario.cc) == [cell.controller for cell in run.cells]
        assert scenario.policy == GRID.policy
        # Alone, a controller meets the same: only names and the policy's settings differ.
        for cell in run.cells:
            alone = {**cell.scenario, "cc": run.scenario["cc"], "policy": run.scenario["policy"]}
            assert alone == run.scenario


def test_live_every_cell_is_a_run_of_its_own() -> None:
    cells = expand(GRID, chosen_failures(["none", "server"]))
    runs = together(cells, virtual=False)
    assert [run.cells for run in runs] == [(cell,) for cell in cells]
    assert [run.scenario for run in runs] == [cell.scenario for cell in cells]
    assert [run.shares_server for run in runs] == [cell.shares_server for cell in cells]
