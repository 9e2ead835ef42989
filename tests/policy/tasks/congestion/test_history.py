"""The ring of windows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.congestion.fields import FIELDS, HISTORY
from policy.tasks.congestion.history import DEFAULT_MIN_RTT_NS, DEFAULT_MSS_BYTES, History


@given(st.integers(1, 3 * HISTORY), st.integers(1, HISTORY))
def test_newest_last_and_absent_ones_marked(appended: int, wanted: int) -> None:
    history = History(3)
    slots = np.array([2])
    for value in range(1, appended + 1):
        history.append(slots, np.full((1, len(FIELDS)), float(value)))
    batch = history.batch(slots, np.array([1000.0]), wanted)
    there = min(appended, wanted)
    expected = [0.0] * (wanted - there) + [
        float(v) for v in range(appended - there + 1, appended + 1)
    ]
    assert batch.windows[0, :, 0].tolist() == expected
    assert batch.valid[0].tolist() == [False] * (wanted - there) + [True] * there


def test_estimates_are_positive_before_anything_is_known() -> None:
    history = History(1)
    history.append(np.array([0]), np.zeros((1, len(FIELDS))))
    batch = history.batch(np.array([0]), np.array([0.0]), 1)
    assert batch.mss_bytes[0] == DEFAULT_MSS_BYTES
    assert batch.min_rtt_ns[0] == DEFAULT_MIN_RTT_NS
    assert batch.bandwidth_bps[0] > 0


def test_forgotten_flows_have_no_past() -> None:
    history = History(1)
    history.append(np.array([0]), np.ones((1, len(FIELDS))))
    history.forget(np.array([0]))
    history.append(np.array([0]), np.ones((1, len(FIELDS))))
    assert history.batch(np.array([0]), np.array([0.0]), 3).valid.tolist() == [[False, False, True]]
