"""Jobs that are refused, with the place named, and orders that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.cjs.catalogue import PATH_MS, build_catalogue
from policy.tasks.cjs.job import Job, Level, Stage, topological_order


def times(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def stage(*parents: int, tasks: int = 1, ms: int = 100) -> Stage:
    return Stage(parents, tasks, (Level(5, times(), times(ms), times(ms)),))


def test_a_cycle_is_one_line_with_job_and_stages():
    # Stage 3 waits behind the cycle and is not in it.
    with pytest.raises(PolicyError, match=r"query 3 at 20 GB: stages 1, 2 wait for each other"):
        Job(3, 20, (stage(), stage(2), stage(1), stage(2)))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (stage(tasks=0), "0 tasks"),
        (stage(7), "parent 7"),
        (stage(0, 0), "parent named twice"),
        (stage(1), "parent 1"),
        (stage(ms=-1), "-1 ms"),
        (Stage((), 1, ()), "levels"),
        (Stage((), 1, (Level(5, times(), times(), times()),)), "no task time at 5"),
    ],
)
def test_a_malformed_stage_is_named(bad: Stage, why: str):
    with pytest.raises(PolicyError, match=f"query 1 at 2 GB, stage 1: .*{why}"):
        Job(1, 2, (stage(), bad))


@given(st.lists(st.sets(st.integers(0, 7)), min_size=8, max_size=8), st.permutations(range(8)))
def test_an_order_puts_parents_first_whatever_the_numbers(raw: list[set[int]], names: list[int]):
    parents: list[list[int]] = [[] for _ in range(8)]
    for number, some in enumerate(raw):
        parents[names[number]] = [names[p] for p in some if p < number]
    order = topological_order(parents, "job")
    assert sorted(order) == list(range(8))
    place = {number: at for at, number in enumerate(order)}
    assert all(place[p] < place[s] for s, some in enumerate(parents) for p in some)


def test_the_heaviest_path_counts_work_to_the_end():
    job = Job(1, 2, (stage(tasks=2, ms=100), stage(tasks=1, ms=500), stage(0, 1, tasks=3, ms=10)))
    assert build_catalogue([job]).stage[:, PATH_MS].tolist() == [230, 530, 30]
