"""Each cause is named first where it alone acts, and a flow without trouble has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.diagnosis.causes import CAUSES, oscillating
from analysis.diagnosis.diagnose import UNEXPLAINED, blame_windows
from analysis.diagnosis.windows import Windows

COUNT = 100
MBPS = 1e6


def healthy(**changes: Any) -> Windows:
    """A policy's flow that uses nine tenths of 10 Mbit/s with 10 ms of queue; ``changes`` by
    name, scalars spread over all windows.
    """
    floats = {
        "capacity_bps": 10 * MBPS,
        "own_bps": 9 * MBPS,
        "others_bps": 0.0,
        "queue_ms": 10.0,
        "lost": 0.0,
        "sent": 80.0,
        "app_limited": 0.0,
        "asked_bps": 10 * MBPS,
        "service_ms": 4.0,
        "busy": 0.4,
    }
    masks = {"late": False, "local": False, "llm": True, "active": True, "stalled": False}
    columns: dict[str, Any] = {name: np.full(COUNT, value) for name, value in floats.items()}
    columns |= {name: np.full(COUNT, value) for name, value in masks.items()}
    columns["start_s"] = np.arange(COUNT) / 10
    for name, value in changes.items():
        columns[name] = np.broadcast_to(np.asarray(value, columns[name].dtype), COUNT).copy()
    return Windows(**columns)


def first(windows: Windows) -> str:
    """The cause with the most blamed windows."""
    blame = blame_windows(windows)
    assert windows.bad.any()
    return max(blame, key=lambda name: int(blame[name].sum()))


def _zigzag() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.where(np.arange(COUNT) % 2, 14 * MBPS, 7 * MBPS)


def _dead_for_four_seconds() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    capacity = np.full(COUNT, 10 * MBPS)
    capacity[30:70] = 0
    return capacity


CASES = {
    "processor starved": healthy(busy=0.99, stalled=True, queue_ms=300),
    "outage": healthy(capacity_bps=_dead_for_four_seconds(), stalled=np.arange(COUNT) > 30),
    "server lost": healthy(local=True, llm=False, own_bps=3 * MBPS, asked_bps=3 * MBPS),
    "answers slow": healthy(late=True, service_ms=180, queue_ms=200),
    "answers late": healthy(late=True, service_ms=5, queue_ms=200),
    "random loss": healthy(lost=3, own_bps=2 * MBPS, queue_ms=1),
    "sender application-limited": healthy(app_limited=1, own_bps=2 * MBPS, queue_ms=1),
    "competing flow": healthy(others_bps=6 * MBPS, own_bps=3 * MBPS, queue_ms=400),
    "rate oscillates": healthy(asked_bps=_zigzag(), queue_ms=150),
    "bandwidth overestimated": healthy(asked_bps=18 * MBPS, queue_ms=250),
    "bandwidth underestimated": healthy(asked_bps=4 * MBPS, own_bps=4 * MBPS, queue_ms=1),
    "thresholds too strict": healthy(stalled=True, llm=False),
    "bufferbloat": healthy(asked_bps=np.nan, queue_ms=600),
    "link idle": healthy(asked_bps=np.nan, own_bps=3 * MBPS, queue_ms=0),
}


def test_every_cause_has_a_case() -> None:
    assert list(CASES) == [cause.name for cause in CAUSES]


@pytest.mark.parametrize("name", CASES)
def test_it_is_named_first(name: str) -> None:
    assert first(CASES[name]) == name


@pytest.mark.parametrize("name", CASES)
def test_its_evidence_is_a_sentence_with_a_figure(name: str) -> None:
    cause = next(cause for cause in CAUSES if cause.name == name)
    text = cause.evidence(CASES[name], blame_windows(CASES[name])[name])
    assert any(letter.isdigit() for letter in text)
    assert "nan" not in text


def test_nothing_is_blamed_where_nothing_is_wrong() -> None:
    assert not healthy().bad.any()
    assert not any(mask.any() for mask in blame_windows(healthy()).values())


def test_what_no_cause_explains_is_said_to_be_so() -> None:
    windows = healthy(stalled=True)
    assert blame_windows(windows)[UNEXPLAINED].all()


@given(
    queue_ms=arrays(np.float64, COUNT, elements=st.floats(0, 2000)),
    own=arrays(np.float64, COUNT, elements=st.floats(0, 2e7)),
    asked=arrays(np.float64, COUNT, elements=st.floats(1e4, 4e7)),
    flags=arrays(np.bool_, (4, COUNT)),
)
def test_every_bad_window_is_blamed_once(queue_ms: Any, own: Any, asked: Any, flags: Any) -> None:
    windows = replace(
        healthy(queue_ms=queue_ms, own_bps=own, asked_bps=asked),
        late=flags[0],
        local=flags[1],
        llm=flags[2],
        stalled=flags[3],
    )
    masks = np.array(list(blame_windows(windows).values()))
    np.testing.assert_array_equal(masks.sum(0), windows.bad.astype(int))


def test_a_rate_that_follows_its_link_does_not_oscillate() -> None:
    rate = _zigzag()
    assert oscillating(rate, np.full(COUNT, 10 * MBPS)).all()
    assert not oscillating(rate, rate * 1.1).any()
    assert not oscillating(np.linspace(1e6, 2e7, COUNT), np.full(COUNT, 10 * MBPS)).any()
