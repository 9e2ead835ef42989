"""Outages of a trace, and what a flow used after them."""

from __future__ import annotations

import numpy as np

from experiments.congestion.recovery import outages, spread, table, used
from policy.tasks.congestion.simulator import Links
from traces.model import Steps, Trace


def trace_of(*seconds_mbps: tuple[float, float]) -> Trace:
    """A trace of stretches, each so many seconds of a rate."""
    lengths_s, rates_mbps = zip(*seconds_mbps, strict=True)
    start_ns = np.concatenate([[0], np.cumsum(lengths_s)[:-1]]) * 1e9
    steps = Steps(start_ns.astype(np.int64), np.array(rates_mbps) * 1e6)
    return Trace("made", int(sum(lengths_s) * 1e9), steps=steps)


def test_an_outage_is_long_enough_and_has_room_around_it() -> None:
    found = outages(trace_of((6, 8), (0.3, 0), (6, 8), (2, 0.1), (6, 8), (2, 0), (4, 8)))
    assert found == [(12_300, 14_300)]  # one is too short, one too late


def test_three_of_many_are_spread_over_the_trace() -> None:
    many = [(k, k + 1) for k in range(9)]
    assert spread(many) == [many[0], many[3], many[6]]
    assert spread(many[:2]) == many[:2]
    assert spread([]) == []


def test_what_was_used_counts_from_the_end_of_the_outage() -> None:
    """1000 bytes a millisecond; a flow that delivers half of it from 2 s on."""
    links = Links(np.full((5000, 1), 8e6), np.array([20]), np.array([1e4]))
    delivered = np.zeros((5000, 1))
    delivered[2000:] = 500.0
    assert used(delivered, links, np.array([2000]), 2).tolist() == [0.5]
    assert used(delivered, links, np.array([1000]), 2).tolist() == [0.25]


def test_shares_stand_beside_their_part_of_the_better_one() -> None:
    def row(name: str, share: float) -> dict[str, object]:
        kinds = {kind: {"first": share, "after": share / 2} for kind in ("bulk", "video")}
        return {"name": name, "used": kinds}

    text = table([row("bbr", 0.8), row("cubic", 0.9), row("llm", 0.45)])
    assert "| llm | 0.450 (0.50) | 0.450 (0.50) | 0.225 (0.50) | 0.225 (0.50) |" in text
