"""The stresses in simulated time: what they are made of, and that the table is made of them."""

from __future__ import annotations

import numpy as np

from experiments.apc.adaptive import ADAPTIVE, WARM, adaptive, figures, schedulers, table, turns
from experiments.apc.world import STRESSES, World, gain, play


def test_a_stress_is_played_alike_with_the_same_seed_and_answers_in_time() -> None:
    first, second = (play(STRESSES[0], adaptive(0), 3, 1) for _ in range(2))
    assert first == second
    row = figures(first)
    assert 0 < row["gain"] <= 1
    assert row["first_p999_ms"] < 100
    assert first.windows == 60 * 10


def test_windows_show_the_difficulty_and_the_gain_of_the_answer_before() -> None:
    world = World(STRESSES[0], 0)
    world.join(0.0)
    flows = np.flatnonzero(world.open)
    assert len(flows) == 60
    for _ in range(5):
        world.answered[flows] = True
        worth = gain(world.difficulty[flows])
        batch = world.windows(flows, 0.0)
    rates = np.log2(batch.windows[:, -1, 3] / 4e6)
    assert abs(float((rates - worth).mean())) < 0.15
    assert batch.valid.all()


def test_turns_are_changes_of_direction() -> None:
    assert turns([0, 1, 1, 2, 1, 1, 0, 3]) == 2
    assert turns([1, 1]) == 0


def test_the_table_names_the_best_static_setting() -> None:
    row = {"gain": 0.5, "by_model": 0.2, "late": 0.0, "first_p999_ms": 1.0, "turns": 2.0}
    better = row | {"gain": 0.7}
    results = {"calm": {"× 1": [row] * 5, "× 2": [row | {"gain": 0.6}] * 5, ADAPTIVE: [better] * 5}}
    results["calm"][WARM] = [row] * 5
    text = table(results)
    assert "× 2: +10.0 [+10.0, +10.0]" in text
    assert "| all | 50.0 | 60.0 | 70.0 | 50.0 |" in text


def test_the_warm_one_begins_where_another_ended() -> None:
    before = adaptive(1)
    before.level = 2.0
    found = schedulers(0, before.state())
    assert [name for name in found if name.startswith("adaptive")] == [ADAPTIVE, WARM]
    assert getattr(found[WARM], "level", None) == 2.0
