"""Latency, deadlines, tiers and obedience of a policy's decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.metrics.decisions import DecisionMetrics, decision_metrics
from tests.analysis.synthetic import ACKS, DECISIONS, MS, START_NS, SyntheticCell, load_cell, row


def decision(
    window: int,
    tier: str,
    closed_ms: float | None,
    applied_ms: float | None,
    rate_bps: float = 8e6,
    *,
    missed: bool = False,
    flow: int = 0,
) -> dict[str, Any]:
    at = lambda ms: None if ms is None else START_NS + round(ms * MS)  # noqa: E731
    return row(
        DECISIONS,
        flow=flow,
        generation=1,
        window=window,
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


def measured(
    tmp_path: Path, decisions: list[dict], acks: list[dict] | None = None
) -> DecisionMetrics | None:
    cell, flow = load_cell(tmp_path, SyntheticCell(logs={"decisions": decisions, "acks": acks}))
    return decision_metrics(cell.log("decisions"), cell.log("acks"), flow)


def test_latency_deadlines_and_tiers(tmp_path: Path) -> None:
    rows = [
        decision(1, "gru", 100, 102),
        decision(1, "llm", 100, 250, missed=True),  # the light answer was in time
        decision(2, "llm", 200, 310, missed=True),  # nobody was
        decision(3, "gru", None, 301),  # the timer closed the window: no ACK to count from
        decision(4, "gru", 400, None),  # never applied
        decision(5, "gru", 500, 900, flow=1),
    ]
    found = measured(tmp_path, rows)
    assert found is not None
    assert found.decisions == 4
    assert found.latency_ms.p50 == pytest.approx(110)
    assert found.deadline_miss_rate == pytest.approx(1 / 3)
    assert found.tier_share == pytest.approx({"gru": 0.5, "llm": 0.5})
    assert found.asked_over_delivered is None


def test_no_policy_no_metrics(tmp_path: Path) -> None:
    assert measured(tmp_path, [decision(1, "gru", 0, None)]) is None
    cell, flow = load_cell(tmp_path / "none", SyntheticCell())
    assert decision_metrics(cell.log("decisions"), cell.log("acks"), flow) is None


def test_asked_over_delivered(tmp_path: Path) -> None:
    # 8 Mbit/s asked at 0 ms: 100 kB in 100 ms are delivered, just that. 16 Mbit/s asked at 200 ms:
    # half of it comes. From 400 ms on the flow is application-limited, which says nothing.
    decisions = [
        decision(n, "gru", 0, 200.0 * n, rate) for n, rate in enumerate((8e6, 16e6, 99e6, 1e6))
    ]
    acks = [ack(0, 0), ack(100, 100_000), ack(200, 200_000), ack(300, 300_000), ack(400, 400_000)]
    acks += [ack(450, 400_001, limited=True), ack(500, 400_002, limited=True)]
    found = measured(tmp_path, decisions, acks)
    assert found is not None
    assert found.asked_over_delivered == pytest.approx((1 + 2) / 2)
