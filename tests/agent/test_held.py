"""Answers that are held until a modelled latency has passed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.answers import Answers
from agent.batch import Batch
from agent.held import HeldAnswers, draw_ns


def answer(window: int, received_ns: int, tier: str = "gcc") -> Answers:
    ones = np.ones(1, np.int64)
    return Answers(
        received_ns=received_ns,
        slot=0 * ones,
        generation=ones,
        window=window * ones,
        pacing_rate_bps=np.full(1, 1e6),
        cwnd_packets=np.full(1, 10.0),
        queue_ns=0 * ones,
        compute_ns=0 * ones,
        tier=np.array([tier]),
        reasons=np.zeros(1, np.uint8),
    )


class Scripted:
    """A client whose answers are given one call at a time."""

    connected = True

    def __init__(self, *calls: Sequence[Answers]) -> None:
        self._calls = list(calls)

    def send(self, batch: Batch, now_ns: int) -> None:
        raise NotImplementedError

    def receive(self) -> Sequence[Answers]:
        return self._calls.pop(0) if self._calls else ()

    def events(self) -> Sequence[tuple[int, str, str]]:
        return [(1, "server-connected", "")]


def test_an_answer_comes_when_its_latency_has_passed() -> None:
    now_ns = 1_000
    held = HeldAnswers(Scripted([answer(3, 1_000)]), {"gcc": [500]}, lambda: now_ns)
    assert held.receive() == []
    assert held.wait_ns() == 500
    now_ns = 1_500
    (given_out,) = held.receive()
    assert given_out.window[0] == 3
    assert given_out.received_ns == 1_500
    assert held.wait_ns() is None


def test_an_answer_of_another_tier_comes_at_once() -> None:
    held = HeldAnswers(Scripted([answer(0, 10, "llm")]), {"gcc": [500]}, lambda: 10)
    (given_out,) = held.receive()
    assert given_out.received_ns == 10


def test_quick_answers_overtake_slow_ones() -> None:
    now_ns = 0
    latency_ns = {"llm": [900], "gcc": [100]}
    client = Scripted([answer(0, 0, "llm"), answer(1, 0, "gcc")])
    held = HeldAnswers(client, latency_ns, lambda: now_ns)
    held.receive()
    now_ns = 2_000
    assert [str(given_out.tier[0]) for given_out in held.receive()] == ["gcc", "llm"]


def test_the_rest_is_the_clients() -> None:
    held = HeldAnswers(Scripted(), {}, lambda: 0)
    assert held.connected
    assert held.events() == [(1, "server-connected", "")]


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20).map(sorted),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)
def test_a_draw_lies_in_its_distribution_and_repeats(
    quantiles_ns: list[int], slot: int, window: int
) -> None:
    drawn_ns = draw_ns(quantiles_ns, slot, window)
    assert quantiles_ns[0] <= drawn_ns <= quantiles_ns[-1]
    assert draw_ns(quantiles_ns, slot, window) == drawn_ns


def test_draws_follow_the_distribution() -> None:
    drawn = [draw_ns([0, 10, 1000], 0, window) for window in range(2000)]
    assert np.mean(np.array(drawn) <= 10) == pytest.approx(0.5, abs=0.05)
