"""Latency, deadlines, tiers and obedience of a policy's decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.metrics.decisions import DecisionMetrics, decision_metrics
from tests.analysis.synthetic import (
    ACKS,
    DECISIONS,
    EVENTS,
    MS,
    START_NS,
    SyntheticCell,
    load_cell,
    row,
)


def decision(
    window: int,
    tier: str,
    closed_ms: float | None,
    applied_ms: float | None,
    rate_bps: float = 8e6,
    *,
    missed: bool = False,
    flow: int = 0,
    slot: int = 0,
) -> dict[str, Any]:
    """An answer to the window that ended `window` x 100 ms after the start."""
    at = lambda ms: None if ms is None else START_NS + round(ms * MS)  # noqa: E731
    return row(
        DECISIONS,
        flow=flow,
        slot=slot,
        generation=1,
        window=window,
        window_end_ns=at(100 * window),
        close_ack_ns=at(closed_ms),
        applied_ns=at(applied_ms),
        pacing_rate_bps=rate_bps,
        tier=tier,
        deadline_missed=missed,
    )


def ack(at_ms: float, delivered_bytes: int, *, limited: bool = False) -> dict[str, Any]:
    return row(
        ACKS,
        at_ns=START_NS + round(at_ms * MS),
        delivered_bytes=delivered_bytes,
        app_limited=limited,
    )


def event(at_ms: float, name: str, detail: str, flow: int = 0) -> dict[str, Any]:
    return row(EVENTS, flow=flow, at_ns=START_NS + round(at_ms * MS), event=name, detail=detail)


def control(at_ms: float, detail: str, flow: int = 0) -> dict[str, Any]:
    return event(at_ms, "control", detail, flow)


def measured(tmp_path: Path, duration_s: float = 1.0, **logs: Any) -> DecisionMetrics:
    cell, flow = load_cell(tmp_path, SyntheticCell(duration_s=duration_s, logs=logs))
    decisions, acks, events = cell.log("decisions"), cell.log("acks"), cell.log("events")
    return decision_metrics(decisions, acks, events, flow)


def test_latency_deadlines_and_tiers(tmp_path: Path) -> None:
    rows = [
        decision(1, "gru", 100, 102),
        decision(1, "llm", 100, 250, missed=True),  # the light answer was in time
        decision(2, "llm", 200, 310, missed=True),  # nobody was
        decision(3, "gru", None, 301),  # the timer closed the window: no ACK to count from
        decision(4, "gru", 400, None),  # never applied
        decision(5, "gru", 500, 900, flow=1),
    ]
    # 540 ms less the 40 ms round trip: five windows. 1 and 3 had an answer in time.
    found = measured(tmp_path, 0.54, decisions=rows)
    assert (found.decisions, found.expected_windows) == (4, 5)
    assert found.latency_ms.p50 == pytest.approx(110)
    assert found.answered_share == pytest.approx(3 / 5)
    assert found.deadline_miss_rate == pytest.approx(3 / 5)
    assert found.tier_share == pytest.approx({"gru": 0.5, "llm": 0.5})
    assert found.llm_share == pytest.approx(0.5)
    assert found.asked_over_delivered is None


def test_tiers_are_judged_apart(tmp_path: Path) -> None:
    rows = [
        decision(1, "gru", 100, 102),
        decision(1, "llm", 100, 150),
        decision(2, "gru", 200, 204),
        decision(2, "llm", 200, 310, missed=True),
        decision(3, "gru", None, 306),
    ]
    tiers = measured(tmp_path, 0.44, decisions=rows).tiers
    assert set(tiers) == {"gru", "llm"}
    # Of the windows, not of the answers, of which the LLM can give no more than half.
    assert (tiers["llm"].answers, tiers["llm"].window_share) == (2, pytest.approx(0.5))
    assert tiers["gru"].window_share == pytest.approx(0.75)
    assert tiers["gru"].latency_ms.p50 == pytest.approx(3)
    assert tiers["gru"].after_window_ms.p50 == pytest.approx(4)  # of 2, 4, 6: the timer's too
    assert tiers["llm"].latency_ms.p50 == pytest.approx(80)
    assert tiers["llm"].late_share == pytest.approx(0.5)
    assert tiers["gru"].late_share == 0.0


def test_the_fallback_answers_no_window_for_the_policy(tmp_path: Path) -> None:
    rows = [decision(1, "gru", 100, 102), *(decision(n, "local", None, 100 * n) for n in (2, 3, 4))]
    found = measured(tmp_path, 0.44, decisions=rows)
    assert found.answered_share == pytest.approx(0.25)
    assert found.local_share == pytest.approx(0.75)


def test_windows_that_nobody_answered_are_misses(tmp_path: Path) -> None:
    """An agent that stood still for half of the flow: its windows are missing from the log."""
    rows = [decision(n, "gru", 100 * n, 100 * n + 2) for n in (1, 2, 3, 4, 5)]
    found = measured(tmp_path, 1.04, decisions=rows)
    assert found.expected_windows == 10
    assert found.deadline_miss_rate == pytest.approx(0.5)


def test_each_connection_of_a_flow_is_counted_while_it_is_open(tmp_path: Path) -> None:
    events = [
        event(-5, "open", "slot 3 generation 1"),
        event(500, "open", "slot 4 generation 2"),
        event(760, "close", "slot 4 generation 2"),
        event(0, "open", "slot 5 generation 1", flow=1),
    ]
    rows = [decision(n, "gru", 100 * n, 100 * n + 2, slot=3) for n in range(1, 6)]
    rows += [decision(n, "gru", 100 * n, 100 * n + 2, slot=4) for n in (1, 2)]
    acks = [ack(0, 0), ack(1000, 10**6)]
    found = measured(tmp_path, 1.04, decisions=rows, events=events, acks=acks)
    assert found.expected_windows == 10 + 2  # the second had 260 ms, 40 of them to connect
    assert found.answered_share == pytest.approx(7 / 12)
    assert found.deadline_miss_rate == pytest.approx(5 / 12)
    assert found.asked_over_delivered is None  # the log tells no connection's ACKs from another's


def test_silences_ask_for_no_answers(tmp_path: Path) -> None:
    events = [
        event(0, "open", "slot 0 generation 1"),
        event(10_940, "quiet", f"slot 0 generation 1 since {START_NS + 10_440 * MS}"),
        event(12_000, "quiet", f"slot 0 generation 1 since {START_NS + 11_540 * MS}"),
    ]
    rows = [decision(n, "gru", 100 * n, 100 * n + 2) for n in range(1, 105)]
    rows += [decision(n, "gru", 100 * n, 100 * n + 2) for n in range(110, 116)]
    found = measured(tmp_path, 12.0, decisions=rows, events=events)
    assert found.expected_windows == 110  # of 119.6: 5 and 4.6 were silent
    assert found.deadline_miss_rate == 0


def test_no_answer_is_said_in_numbers(tmp_path: Path) -> None:
    for name, rows in (("unapplied", [decision(1, "gru", 0, None)]), ("none", [])):
        found = measured(tmp_path / name, decisions=rows)
        assert (found.decisions, found.answered_share, found.deadline_miss_rate) == (0, 0.0, 1.0)
        assert found.latency_ms.p50 is None


def test_time_under_the_kernel_after_the_first_decision(tmp_path: Path) -> None:
    events = [
        control(0, "kernel bbr"),
        control(102, "agent"),
        control(400, "kernel bbr"),
        control(650, "agent"),
        control(900, "kernel bbr"),
        control(500, "kernel bbr", flow=1),
    ]
    found = measured(tmp_path, decisions=[decision(1, "gru", 100, 102)], events=events)
    assert found.kernel_s == pytest.approx(0.25 + 0.1)


def test_asked_over_delivered(tmp_path: Path) -> None:
    # 8 Mbit/s asked at 0 ms: 100 kB in 100 ms are delivered, just that. 16 Mbit/s asked at 200 ms:
    # half of it comes. From 400 ms on the flow is application-limited, which says nothing.
    decisions = [
        decision(n, "gru", 0, 200.0 * n, rate) for n, rate in enumerate((8e6, 16e6, 99e6, 1e6))
    ]
    acks = [ack(0, 0), ack(100, 100_000), ack(200, 200_000), ack(300, 300_000), ack(400, 400_000)]
    acks += [ack(450, 400_001, limited=True), ack(500, 400_002, limited=True)]
    found = measured(tmp_path, decisions=decisions, acks=acks)
    assert found.asked_over_delivered == pytest.approx((1 + 2) / 2)
