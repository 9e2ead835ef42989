"""Where input is fetched from."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.jobs.sources import shares

HELD = st.lists(
    st.dictionaries(st.integers(0, 15), st.integers(1, 9), max_size=16).map(Counter), max_size=4
)


@given(st.integers(0, 10**9), HELD)
def test_no_byte_is_lost(size: int, held: list[Counter[int]]) -> None:
    found = shares(size, held)
    assert sum(found.values()) == (size if any(held) else 0)
    assert all(part > 0 for part in found.values())
    assert set(found) <= {worker for tasks in held for worker in tasks}


def test_parents_and_their_tasks_give_equal_parts() -> None:
    held = [Counter({0: 1, 1: 3}), Counter({1: 2})]
    assert shares(800, held) == {0: 100, 1: 700}
    assert shares(800, [Counter({2: 5}), Counter()]) == {2: 800}
    assert shares(0, held) == shares(800, []) == {}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_bytes_are_kept_too(size: int) -> None:
    assert sum(shares(size, [Counter(dict.fromkeys(range(5), 1))]).values()) == size
