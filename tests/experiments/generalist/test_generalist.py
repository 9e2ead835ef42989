"""Rows, few samples and paired differences of the generalist's experiments."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from experiments.generalist.judge import difference, table
from experiments.generalist.rows import ROWS, TASKS, config_of

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("name", ROWS)
def test_settings_of_every_row_fit(name):
    row = ROWS[name]
    groups = [(task,) for task in TASKS] if row.alone else [TASKS]
    for tasks in groups:
        config = config_of(row, tasks, 3, cpu=False, more={})
        assert config.seeds == (3,)
        assert tuple(config.model.tasks) == tasks == tuple(config.tasks)


def test_rows_differ_as_they_say():
    lora = {name: config_of(ROWS[name], TASKS, 0, False, {}).model.backbone.lora for name in "BCD"}
    assert (lora["B"].rank, lora["B"].rank_per_task) == (16, 0)
    assert len(lora["B"].targets) == 7
    assert (lora["C"].rank, lora["C"].rank_per_task) == (0, 0)
    assert (lora["D"].rank, lora["D"].rank_per_task) == (8, 8)


def test_differences_are_paired_and_better_is_positive():
    def entry(row, seed, task, values):
        return {"row": row, "seed": seed, "units": {task: dict(zip("abc", values, strict=True))}}

    judged = {
        "checkpoints": [
            entry("G", 0, "abr", [1.0, 2.0, 3.0]),
            entry("G", 1, "abr", [1.2, 2.2, 3.2]),
            entry("F-abr", 0, "abr", [1.0, 2.0, 3.0]),
            entry("G", 0, "cjs", [50.0, 100.0, 150.0]),
            entry("F-cjs", 0, "cjs", [55.0, 110.0, 165.0]),
        ]
    }
    found = difference(judged, "G", "F", "abr")
    # Every unit is 0.1 better in the mean over seeds, of a mean of 2.
    assert found["percent"] == pytest.approx(5.0)
    assert found["ci95"] == pytest.approx([5.0, 5.0])
    # Shorter completion times are better: 10 of 110 s.
    assert difference(judged, "G", "F", "cjs")["percent"] == pytest.approx(100 / 11)
    assert difference(judged, "G", "F", "congestion") is None
    assert "| abr | 3 |" in table(judged)
