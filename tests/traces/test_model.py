"""Trace arithmetic: hand-computed cases, then laws that hold for every trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import Opportunities, Steps, Trace, TraceError, constant

S = 1_000_000_000
RELAXED = settings(deadline=None)  # the machine may be busy


def steps(starts: list[int], rates: list[float], period_ns: int | None = None) -> Trace:
    return Trace("t", period_ns, Steps(np.array(starts), np.array(rates, dtype=float)))


def opportunities(times: list[int], period_ns: int | None = None, size: int = 1500) -> Trace:
    return Trace(
        "t", period_ns, opportunities=Opportunities(np.array(times), np.full(len(times), size))
    )


@st.composite
def any_trace(draw: st.DrawFn) -> Trace:
    """Either form, repeating or not."""
    gaps = draw(st.lists(st.integers(1, 3 * S), min_size=1, max_size=8))
    if draw(st.booleans()):
        starts = np.concatenate(([0], np.cumsum(gaps)))
        rates = draw(
            st.lists(
                st.one_of(st.just(0.0), st.floats(1e3, 1e9)),
                min_size=len(starts),
                max_size=len(starts),
            )
        )
        rates[-1] = draw(st.floats(1e3, 1e9))
        period = draw(st.one_of(st.none(), st.integers(1, 3 * S)))
        return steps(starts.tolist(), rates, None if period is None else int(starts[-1]) + period)
    times = np.cumsum([draw(st.integers(0, S)), *draw(st.lists(st.integers(0, S), max_size=8)), 1])
    sizes = draw(st.lists(st.integers(1, 3000), min_size=len(times), max_size=len(times)))
    period = draw(st.one_of(st.none(), st.integers(0, S)))
    return Trace(
        "t",
        None if period is None else int(times[-1]) + period,
        opportunities=Opportunities(times, np.array(sizes)),
    )


MOMENTS = st.integers(0, 40 * S)


def test_steps_by_hand() -> None:
    # 8 Mbit/s for 1 s = 1e6 bytes, nothing for 1 s, 16 Mbit/s for 0.5 s = 1e6 bytes.
    trace = steps([0, S, 2 * S], [8e6, 0, 16e6], 5 * S // 2)
    assert trace.capacity_bytes(0, S) == 1e6
    assert trace.capacity_bytes(S, 2 * S) == 0
    assert trace.capacity_bytes(S // 2, 9 * S // 4) == 0.5e6 + 0.5e6
    assert trace.capacity_bytes(0, 5 * S) == 4e6
    assert trace.mean_bps() == pytest.approx(2e6 * 8 / 2.5)


def test_last_step_holds_without_period() -> None:
    trace = steps([0, S], [0, 8e6])
    assert trace.capacity_bytes(0, 11 * S) == 10e6
    assert constant(12e6).capacity_bytes(0, S) == 1.5e6
    assert constant(12e6).mean_bps() == 12e6


def test_opportunities_by_hand() -> None:
    # The last lies at the period's end, as in Mahimahi: it and the next round's first are delivered
    # at the same moment.
    trace = opportunities([0, 3, 3, 10], 10)
    delivered = [trace.capacity_bytes(0, t) / 1500 for t in (0, 1, 3, 4, 10, 11, 14, 20, 21)]
    assert delivered == [0, 1, 1, 3, 3, 5, 7, 7, 9]


def test_opportunities_end_without_period() -> None:
    assert opportunities([0, 3, 3, 10]).capacity_bytes(0, 10**12) == 4 * 1500


def test_nothing_before_time_zero() -> None:
    assert constant(8e6).capacity_bytes(-S, S) == 1e6


def test_arrays_broadcast() -> None:
    edges = np.arange(4, dtype=np.int64) * S
    assert constant(8e6).capacity_bytes(edges[:-1], edges[1:]).tolist() == [1e6, 1e6, 1e6]
    assert constant(8e6).capacity_bytes(0, edges).tolist() == [0, 1e6, 2e6, 3e6]


@given(any_trace(), MOMENTS, MOMENTS, MOMENTS)
@RELAXED
def test_capacity_is_additive(trace: Trace, first: int, second: int, third: int) -> None:
    start, middle, end = sorted((first, second, third))
    parts = trace.capacity_bytes(start, middle) + trace.capacity_bytes(middle, end)
    whole = trace.capacity_bytes(start, end)
    assert parts == pytest.approx(whole, rel=1e-9, abs=1e-3)
    assert trace.capacity_bytes(start, middle) >= -1e-3


@given(any_trace(), st.integers(1, 20 * S), st.integers(1, 20 * S), st.integers(1, 5))
@RELAXED
def test_capacity_is_periodic(trace: Trace, start: int, length: int, rounds: int) -> None:
    if trace.period_ns is None:
        return
    shift = rounds * trace.period_ns
    once = trace.capacity_bytes(start, start + length)
    assert trace.capacity_bytes(start + shift, start + shift + length) == pytest.approx(
        once, rel=1e-9, abs=1e-2
    )
    whole = trace.capacity_bytes(start, start + trace.period_ns)
    assert whole == pytest.approx(trace.total_bytes, rel=1e-9, abs=1e-2)


@given(any_trace(), MOMENTS, MOMENTS, st.floats(0.01, 100))
@RELAXED
def test_scaling(trace: Trace, start: int, length: int, factor: float) -> None:
    try:
        scaled = trace.scaled(factor)
    except TraceError:  # every opportunity rounded to nothing
        assert trace.total_bytes * factor < 1
        return
    rounds = 1 if trace.period_ns is None else length // trace.period_ns + 2
    want = factor * trace.capacity_bytes(start, start + length)
    slack = 0.0 if trace.steps is not None else rounds
    assert scaled.capacity_bytes(start, start + length) == pytest.approx(
        want, rel=1e-9, abs=1e-3 + slack
    )


@given(any_trace(), st.integers(1, 30 * S))
@RELAXED
def test_clipped_agrees_with_the_original(trace: Trace, duration: int) -> None:
    try:
        clipped = trace.clipped(duration)
    except TraceError:
        assert trace.capacity_bytes(0, duration) == 0 or trace.steps is not None
        return
    # One nanosecond less: an opportunity at the clip itself belongs to what is cut off.
    end = min(duration, trace.duration_ns)
    assert clipped.capacity_bytes(0, end) == pytest.approx(trace.capacity_bytes(0, end), rel=1e-9)
    assert clipped.duration_ns <= max(duration, 1)


@given(any_trace(), st.floats(0.001, 1))
@RELAXED
def test_time_of_bytes_inverts_capacity(trace: Trace, share: float) -> None:
    wanted = share * trace.total_bytes
    if wanted <= 0:
        return
    moment = int(trace.time_of_bytes(np.array([wanted]))[0])
    rate_slack = 1e9 / 8 / 1e9 + 1e-3  # bytes within the nanosecond that the time is rounded to
    assert trace.capacity_bytes(0, moment + 1) >= wanted - 2 * rate_slack
    assert trace.capacity_bytes(0, moment - 1) <= wanted + 2 * rate_slack


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: steps([], []), "empty"),
        (lambda: steps([1], [1e6]), "must start at 0"),
        (lambda: steps([0, 5, 5], [1, 2, 3]), "step 2 does not start after"),
        (lambda: steps([0], [-1.0]), r"capacity_bps\[0\] is -1"),
        (lambda: steps([0, 1], [1.0, float("nan")]), r"capacity_bps\[1\] is nan"),
        (lambda: steps([0], [1e15]), "capacity_bps"),
        (lambda: steps([0, 1], [1.0]), "capacity_bps has 1 values, 2 are needed"),
        (lambda: steps([0, 10], [1, 1], 10), "period"),
        (lambda: steps([0, 1], [0, 0], 2), "zero throughout"),
        (lambda: constant(0), "zero throughout"),
        (lambda: opportunities([]), "empty"),
        (lambda: opportunities([5, 4]), "opportunity 1 comes before"),
        (lambda: opportunities([5], 4), "period"),
        (lambda: opportunities([5], size=0), "zero throughout"),
        (lambda: Trace("t", None), "either steps or opportunities"),
        (lambda: Steps(np.array([0]), np.array([1.0]), loss=np.array([1.5])), "loss"),
        (lambda: Steps(np.array([0]), np.array([1.0]), delay_ns=np.array([-1])), "delay_ns"),
        (lambda: constant(1e6).scaled(0), "scale"),
        (lambda: constant(1e6).clipped(0), "clip"),
    ],
)
def test_impossible_traces_are_refused(build, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        build()


def test_arrays_are_read_only() -> None:
    trace = steps([0, 1], [1, 2])
    assert trace.steps is not None
    with pytest.raises(ValueError, match="read-only"):
        trace.steps.capacity_bps[0] = 5


@given(
    starts=st.lists(st.integers(1, 900), unique=True, max_size=6),
    seed=st.integers(0, 2**31),
    offset_ms=st.integers(0, 999),
    periodic=st.booleans(),
    stepped=st.booleans(),
)
def test_a_trace_from_a_later_start_carries_what_the_whole_carries_there(
    starts: list[int], seed: int, offset_ms: int, periodic: bool, stepped: bool
) -> None:
    random = np.random.default_rng(seed)
    at_ns = np.array([0, *sorted(starts), 999], np.int64) * 1_000_000
    period_ns = 1_000_000_000 if periodic else None
    if stepped:
        trace = Trace("t", period_ns, Steps(at_ns, random.uniform(1e5, 1e7, len(at_ns))))
    else:
        trace = Trace(
            "t", period_ns, opportunities=Opportunities(at_ns, random.integers(1, 1500, len(at_ns)))
        )
    offset_ns = offset_ms * 1_000_000
    if offset_ns >= trace.duration_ns:
        return
    moved = trace.starting_at(offset_ns)
    ends = np.arange(0, 2_500_000_000, 97_000_000)
    assert moved.capacity_bytes(0, ends) == pytest.approx(
        trace.capacity_bytes(offset_ns, ends + offset_ns)
    )


def test_a_start_past_the_end_is_refused() -> None:
    trace = Trace("t", 10**9, Steps(np.array([0]), np.array([1e6])))
    with pytest.raises(TraceError, match="cannot start at 1 s"):
        trace.starting_at(10**9)
