"""The states a player comes into, on a slow and on a fast link, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.generalist import states
from policy.tasks.abr.bandwidth import Bandwidth, Ints
from policy.tasks.abr.rules.base import Stateless
from policy.tasks.abr.session import Sessions
from policy.tasks.abr.video import Video

pytestmark = pytest.mark.torch
CHUNKS = 20


class Always(Stateless):
    """Takes one level."""

    def __init__(self, level: int) -> None:
        self._level = level

    def decide(self, sessions: Sessions) -> Ints:
        return np.full(len(sessions), self._level)


def video() -> Video:
    rates_kbps = np.array([500.0, 1000.0, 4000.0])
    sizes_bytes = np.tile(rates_kbps * 1000 / 8 * 4, (CHUNKS, 1))
    return Video("hand", 4000.0, rates_kbps, sizes_bytes)


def link(name: str, mbps: float) -> Bandwidth:
    return Bandwidth(name, np.array([0.0, 1000.0]), np.array([mbps, mbps]))


def test_only_decisions_on_slow_links_are_kept_with_what_each_would_choose():
    links = [link("slow", 1.5), link("fast", 30.0)]
    found = states.played([Always(0), Always(1)], [video()], links)
    decisions = CHUNKS - 1  # the first chunk is no decision
    assert found.every == 2 * decisions
    assert len(found.buffer_s) == decisions
    assert [one.tolist() for one in found.levels] == [[0] * decisions, [1] * decisions]
    # A third of the link: the buffer grows by 4 s less about 1.4 s a chunk, and at last is full.
    assert found.buffer_s[0] < 5
    assert (np.diff(found.buffer_s) > 0).all()
    assert found.buffer_s[-1] > 30


def test_the_table_by_hand():
    found = states.States(
        buffer_s=np.array([1.0, 2.0, 40.0, 60.0]),
        before=np.array([0, 1, 1, 1]),
        levels=(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 4])),
        every=8,
    )
    sampled_s = np.array([3.0, 9.0, 9.0, 35.0])
    text = states.table(found, sampled_s, 100, ["this", "other"]).splitlines()
    assert [cell.strip() for cell in text[2].strip("|").split("|")] == [
        *("0 to 8 s", "25.0 %", "1.0 %", "0.50", "0.00, 50 %", "0.50, 100 %")
    ]
    assert [cell.strip() for cell in text[3].strip("|").split("|")] == [
        *("8 to 15 s", "0.0 %", "2.0 %", "–", "–", "–")
    ]
    assert [cell.strip() for cell in text[5].strip("|").split("|")] == [
        *("30 to 61 s", "25.0 %", "1.0 %", "1.00", "1.00, 100 %", "3.00, 0 %")
    ]
