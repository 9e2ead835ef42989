"""Rows, few samples and paired differences of the generalist's experiments."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from experiments.generalist.few_shot import Fewer, Noise, Picked
from experiments.generalist.judge import difference, table
from experiments.generalist.rows import ROWS, TASKS, config_of

pytestmark = pytest.mark.torch


class Numbers:
    """Sample i has input i and answer 10 i."""

    about = {"rows": 40}  # noqa: RUF012

    def samples(self, split, config):
        return self

    families = np.array([str(number // 10) for number in range(40)])
    baselines: dict = {}  # noqa: RUF012

    def __len__(self):
        return 40

    def batch(self, indices):
        return {"x": indices.copy()}, {"y": 10 * indices}


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


def test_a_share_is_a_run_of_training_samples():
    few = Fewer(Numbers(), 0.1, seed=1)
    assert few.about["training_share"] == 0.1
    samples = few.samples("train", None)
    inputs, targets = samples.batch(np.arange(4))
    assert len(samples) == 4
    assert np.diff(inputs["x"]).tolist() == [1, 1, 1]
    assert (targets["y"] == 10 * inputs["x"]).all()
    assert samples.families.tolist() == [str(x // 10) for x in inputs["x"]]
    assert len(few.samples("test", None)) == 40


def test_noise_keeps_inputs_and_answers_but_not_which_belong_together():
    samples = Noise(Numbers(), seed=1).samples("train", None)
    assert isinstance(samples, Picked)
    inputs, targets = samples.batch(np.arange(40))
    assert inputs["x"].tolist() == list(range(40))
    assert sorted(targets["y"]) == [10 * x for x in range(40)]
    assert (targets["y"] == 10 * inputs["x"]).mean() < 0.2


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
