"""Probing at the start and after an outage, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from policy.api import FlowBatch
from policy.tasks.congestion.fields import FIELDS, HISTORY, F
from policy.tasks.congestion.probing import growth

MS = 1e6


def flow(*windows: dict[str, float], known: int | None = None, min_rtt_ms: float = 50) -> FlowBatch:
    """One flow whose newest windows are these; older ones are as usual, or absent."""
    usual = {"duration_ns": 100 * MS, "acks": 20, "rtt_mean_ns": min_rtt_ms * MS + MS}
    usual |= {"queueing_delay_ns": MS, "inflight_bytes": 10_000}
    rows = np.zeros((1, HISTORY, len(FIELDS)))
    for place in range(HISTORY):
        changed = windows[place - HISTORY] if place >= HISTORY - len(windows) else {}
        for name, value in (usual | changed).items():
            rows[0, place, F[name]] = value
    valid = np.arange(HISTORY)[::-1] < (HISTORY if known is None else known)
    one = np.ones(1)
    return FlowBatch(
        np.zeros(1, np.int64), rows, valid[None], 1e6 * one, min_rtt_ms * MS * one, 1448 * one
    )


SILENT = {"acks": 0.0, "rtt_mean_ns": 900 * MS, "queueing_delay_ns": 850 * MS}
STALE = {"rtt_mean_ns": 900 * MS, "queueing_delay_ns": 850 * MS}
FULL = {"rtt_mean_ns": 70 * MS, "queueing_delay_ns": 20 * MS}
LOSS = {"loss_rate": 0.1}
PAUSE = {"acks": 0.0, "inflight_bytes": 0.0}
USUAL: dict[str, float] = {}


@pytest.mark.parametrize(
    ("windows", "known", "expected"),
    [
        ((USUAL,), None, 1.0),  # a flow of long standing
        ((USUAL,), 1, 4.0),  # the first window
        ((USUAL, USUAL), 2, 4.0),
        ((FULL, USUAL), 2, 1.0),  # it has met a queue
        ((LOSS, USUAL), 2, 1.0),
        ((SILENT, SILENT), None, 1.0),  # an outage lasts
        ((SILENT, STALE), None, 1.0),  # what comes was sent before it
        ((SILENT, STALE, USUAL), None, 4.0),
        ((SILENT, STALE, USUAL, USUAL), None, 4.0),
        ((SILENT, STALE, USUAL, FULL, USUAL), None, 1.0),
        ((SILENT, STALE, FULL), None, 1.0),
        ((FULL, SILENT, USUAL), None, 4.0),  # the queue before the outage is history
        ((SILENT, USUAL), 2, 4.0),  # an outage at the start
        ((USUAL, PAUSE), None, 1.0),  # a pause lasts
        ((FULL, PAUSE, USUAL, USUAL), None, 4.0),
        ((PAUSE, USUAL, FULL, USUAL), None, 1.0),
    ],
)
def test_probing_ends_with_the_first_queue(
    windows: tuple[dict[str, float], ...], known: int | None, expected: float
) -> None:
    assert growth(flow(*windows, known=known), most=8.0).tolist() == [expected]


def test_growth_is_that_of_slow_start_and_bounded() -> None:
    assert growth(flow(USUAL, known=1, min_rtt_ms=100), most=4.0).tolist() == [2.0]
    assert growth(flow(USUAL, known=1, min_rtt_ms=10), most=4.0).tolist() == [4.0]
    assert growth(flow(USUAL, known=1, min_rtt_ms=10), most=1.0).tolist() == [1.0]


def test_silence_longer_than_the_history_still_is_an_outage() -> None:
    assert growth(flow(*[SILENT] * (HISTORY - 1), USUAL), most=4.0).tolist() == [4.0]
