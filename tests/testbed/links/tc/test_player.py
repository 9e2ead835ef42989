"""The rates that the tc backend asks of HTB."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.links.base import Direction, Queue
from testbed.links.tc.backend import _refuse_unsupported, changes_faster_than
from testbed.links.tc.player import (
    WINDOW_NS,
    Correction,
    first_rate_bps,
    outage_rate_bps,
    outage_windows,
)
from traces.forms import Opportunities, Steps
from traces.model import Trace, constant

MS = 1_000_000


def steps(*pairs: tuple[int, float], period_ns: int | None = None, **columns: np.ndarray) -> Trace:
    start_ns, capacity_bps = zip(*pairs, strict=True)
    return Trace(
        "steps", period_ns, Steps(np.array(start_ns), np.array(capacity_bps, float), **columns)
    )


def play(
    served: list[float], capacity: float = 100_000.0, windows: int = 40
) -> tuple[float, list[float]]:
    """Owed bytes in the end, and the bytes asked for. HTB carries a share of what was asked, the
    outcome is known a window later, as in the player."""
    correction, asked = Correction(), []
    carried: float | None = None
    for window in range(windows):
        asked.append(correction.rate_bps(capacity) * WINDOW_NS / 8e9)
        if carried is not None:
            correction.after(capacity, round(carried), backlogged=True)
        carried = asked[-1] * served[window % len(served)]
    return correction.owed_bytes, asked


def test_an_exact_shaper_is_asked_for_the_trace() -> None:
    owed, asked = play([1.0])
    assert owed == 0
    assert set(asked) == {100_000.0}


def test_what_a_lossy_shaper_withholds_is_made_up_for() -> None:
    _, asked = play([0.9])
    # In the steady state it carries the trace: 0.9 of what is asked.
    assert asked[-1] * 0.9 == pytest.approx(100_000, rel=0.02)
    owed, _ = play([0.8, 1.0, 1.1])
    assert abs(owed) < 30_000  # bounded by a few windows' errors instead of growing


def test_a_single_shortfall_is_paid_back_once() -> None:
    correction = Correction()
    correction.after(100_000, 60_000, backlogged=True)
    extra = []
    for _ in range(20):
        extra.append(correction.rate_bps(100_000) * WINDOW_NS / 8e9 - 100_000)
        correction.after(100_000, round(100_000 + extra[-1]), backlogged=True)
    assert sum(extra) == pytest.approx(40_000, rel=0.02)


def test_nothing_is_owed_to_an_idle_sender() -> None:
    correction = Correction()
    correction.after(100_000, 1_000, backlogged=False)
    assert correction.rate_bps(100_000) == pytest.approx(8e6)


def test_corrections_stay_within_half_of_the_capacity() -> None:
    correction = Correction(owed_bytes=1e9)
    assert correction.rate_bps(100_000) == pytest.approx(12e6)
    correction = Correction(owed_bytes=-1e9)
    assert correction.rate_bps(100_000) == pytest.approx(4e6)


def test_windows_mean_the_trace() -> None:
    # Half of the first window at 10, half at 30 Mbit/s.
    assert first_rate_bps(steps((0, 10e6), (50 * MS, 30e6))) == pytest.approx(20e6)


def test_outages_are_looked_ahead() -> None:
    trace = steps((0, 10e6), (1000 * MS, 0), (3000 * MS, 10e6))
    assert outage_windows(trace, 10) == 20
    assert outage_windows(trace, 29) == 1
    # One packet for the 19 windows before the last, and a quarter.
    assert outage_rate_bps(20) == pytest.approx(1514 * 8 / 1.925)
    assert outage_rate_bps(1) == pytest.approx(1514 * 8 / 0.125)


def test_merged_changes_are_noticed() -> None:
    assert not changes_faster_than(constant(1e6), WINDOW_NS)
    assert not changes_faster_than(steps((0, 1e6), (100 * MS, 2e6)), WINDOW_NS)
    assert changes_faster_than(steps((0, 1e6), (99 * MS, 2e6)), WINDOW_NS)
    found = Opportunities(np.array([0, 1000 * MS]), np.array([1500, 1500]))
    assert changes_faster_than(Trace("o", None, opportunities=found), WINDOW_NS)


@pytest.mark.parametrize(
    ("direction", "reason"),
    [
        (Direction(queue=Queue("codel")), "AQMs limit packets"),
        (Direction(jitter_ns=1), "jitter"),
        (Direction(capacity=steps((0, 1e6), delay_ns=np.array([5]))), "delay and loss"),
        (Direction(capacity=steps((0, 1e6), loss=np.array([0.1]))), "delay and loss"),
    ],
)
def test_what_tc_cannot_do_is_refused(direction: Direction, reason: str) -> None:
    with pytest.raises(UserError, match=rf"link up, forward: .*{reason}.*use the relay backend"):
        _refuse_unsupported("link up, forward", direction)
