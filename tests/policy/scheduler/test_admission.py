"""Admission never promises what its own model says cannot be kept, and serves difficult flows in
turn.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.scheduler.admission import IDLE_NS, AdmissionConfig, BatchQueue, ServiceTime

MS = 1_000_000
CONFIG = AdmissionConfig(max_batch=8, margin=0.0)
FLOWS = 64


def queue(
    time_ms: float = 10.0, per_flow_ms: float = 2.0, config: AdmissionConfig = CONFIG
) -> BatchQueue:
    """A queue that has learnt that n flows take time + n per_flow ms."""
    made = BatchQueue(FLOWS, config)
    for size in (1, 2, 4, 8):
        for _ in range(60):
            made.service.observe(size, int((time_ms + size * per_flow_ms) * MS), 0)
    return made


def admit(q: BatchQueue, flows: list[int], deadline_ms: float, now_ms: float = 0) -> list[int]:
    candidates = np.array(flows, np.int64)
    deadlines = np.full(len(flows), int(deadline_ms * MS))
    return candidates[q.admit(candidates, deadlines, int(now_ms * MS))].tolist()


def test_what_is_learnt() -> None:
    service = ServiceTime(CONFIG)
    assert service.planned_ns(1) == CONFIG.first_guess_ms * 1e6
    for _ in range(100):
        service.observe(4, 30 * MS, 0)
    assert abs(service.planned_ns(4) - 30 * MS) < 1 * MS
    assert service.planned_ns(8) == 2 * service.planned_ns(4)  # never seen: in proportion
    assert service.planned_ns(1) <= service.planned_ns(4)
    assert service.planned_ns(0) == 0


@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 500)), max_size=30), st.integers(0, 600)
)
def test_larger_batches_never_take_less_and_largest_is_their_inverse(
    seen: list[tuple[int, int]], available_ms: int
) -> None:
    service = ServiceTime(CONFIG)
    for size, took in seen:
        service.observe(size, took * MS, 0)
    planned = [service.planned_ns(size) for size in range(1, 9)]
    assert planned == sorted(planned)
    largest = service.largest(available_ms * MS)
    assert largest == max(
        (size for size in (1, 2, 4, 8) if planned[size - 1] <= available_ms * MS), default=0
    )


def test_one_slow_batch_is_not_held_against_the_engine_for_ever() -> None:
    q = queue()
    q.service.observe(1, 10_000 * MS, 0)
    assert admit(q, [1], 100) == []
    admitted, now = [], 0
    while not admitted:
        now += IDLE_NS + 1
        admitted = admit(q, [1], now / MS + 100, now / MS)
        assert now < 10 * IDLE_NS  # 10 s halve to 100 ms in seven steps
    assert admitted == [1]


def test_only_as_many_as_fit_before_the_deadline() -> None:
    # Eight take 26 ms, planned with some reserve: two batches fit into 60 ms, a third does not.
    assert len(admit(queue(), list(range(40)), 60)) == 16
    assert admit(queue(), [1, 2], 5) == []


def test_while_the_engine_computes_its_remaining_time_counts() -> None:
    q = queue()
    admit(q, list(range(8)), 100)
    assert len(q.take(0)[0]) == 8
    assert len(admit(q, list(range(20, 60)), 40)) == 1  # 40 - 26 ms: one flow
    q.done(8, 26 * MS, 26 * MS)
    assert len(admit(q, list(range(20, 60)), 60, 26)) == 8


def test_a_batch_that_failed_says_nothing_of_the_engine_s_speed() -> None:
    q = queue()
    admit(q, list(range(8)), 100)
    q.take(0)
    planned_ns = q.service.planned_ns(8)
    q.failed()
    assert q.service.planned_ns(8) == planned_ns
    assert len(admit(q, list(range(20, 60)), 60, 26)) == 8


def test_a_waiting_flow_keeps_its_place_and_is_there_once() -> None:
    q = queue()
    assert admit(q, [5, 6], 100) == [5, 6]
    assert admit(q, [6, 7], 200) == [6, 7]
    assert q.take(0)[0].tolist() == [5, 6, 7]
    assert len(q) == 0


def test_flows_that_would_be_late_are_given_up() -> None:
    q = queue()
    admit(q, [1], 40)
    admit(q, [2], 200)
    batch, late = q.take(35 * MS)
    assert (batch.tolist(), late.tolist()) == ([2], [1])


def test_removed_flows_are_not_taken() -> None:
    q = queue()
    admit(q, [1, 2, 3], 100)
    q.remove(np.array([2]))
    q.forget(np.array([3]))
    assert q.take(0)[0].tolist() == [1]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 40),  # time until the next event, ms
            st.lists(st.integers(0, FLOWS - 1), unique=True, max_size=20),  # candidates
            st.integers(1, 200),  # their deadline from now, ms
        ),
        max_size=25,
    ),
    st.floats(0.5, 50),
    st.floats(0.1, 10),
)
def test_by_its_own_model_no_admitted_flow_is_late(
    events: list[tuple[int, list[int], int]], time_ms: float, per_flow_ms: float
) -> None:
    """If the engine takes just as long as planned, everything admitted is answered in time: nothing
    is given up.
    """
    q = queue(time_ms, per_flow_ms)
    now, busy_until, running = 0, 0, 0
    deadline: dict[int, int] = {}

    def advance(until: int) -> None:
        nonlocal busy_until, running
        while running and busy_until <= until:
            at, size = busy_until, running
            running = 0
            q.done(size, int(q.service.planned_ns(size)), at)
            start(at)

    def start(at: int) -> None:
        nonlocal busy_until, running
        batch, late = q.take(at)
        assert late.tolist() == []
        if len(batch):
            running = len(batch)
            busy_until = at + int(np.ceil(q.service.planned_ns(running)))
            for flow in batch.tolist():
                assert busy_until <= deadline.pop(flow) + len(events)  # rounding to whole ns

    for gap, flows, patience in events:
        now += gap * MS
        advance(now)
        due = now + patience * MS
        candidates = np.array([flow for flow in flows if flow not in deadline], np.int64)
        admitted = q.admit(candidates, np.full(len(candidates), due), now)
        deadline |= dict.fromkeys(candidates[admitted].tolist(), due)
        if not running:
            start(now)


@settings(max_examples=30, deadline=None)
@given(st.integers(9, FLOWS), st.integers(30, 90))
def test_no_flow_starves(difficult: int, deadline_ms: int) -> None:
    """All flows stay difficult and want an answer every 100 ms: their turns differ by one at
    most.
    """
    q = queue()
    served = np.zeros(difficult, np.int64)
    flows = np.arange(difficult)
    for window in range(60):
        now = window * 100 * MS
        admitted = q.admit(flows, np.full(difficult, now + deadline_ms * MS), now)
        at = now
        for _ in range(int(np.ceil(admitted.sum() / CONFIG.max_batch))):
            batch, _ = q.take(at)
            served[batch] += 1
            at += int(q.service.planned_ns(len(batch)))
            q.done(len(batch), int(q.service.planned_ns(len(batch))), at)
    assert served.max() - served.min() <= 1
    assert served.min() > 0


def test_a_tier_that_answers_alone_takes_all_in_turn() -> None:
    q = BatchQueue(FLOWS, CONFIG)
    q.join(np.arange(10))
    q.join(np.arange(12))
    assert q.take_all(0).tolist() == list(range(8))
    assert q.take_all(0).tolist() == [8, 9, 10, 11]


def test_capacity_is_the_throughput_of_the_best_batch_that_ends_in_time() -> None:
    service = ServiceTime(AdmissionConfig(max_batch=16, deviations=0.0))
    for size, took_ms in ((1, 10), (4, 25), (16, 80)):
        service.observe(size, took_ms * 1_000_000, 0)
    assert service.capacity_per_s(90e6) == pytest.approx(16 / 0.080)
    assert service.capacity_per_s(30e6) == pytest.approx(4 / 0.025)
    assert service.capacity_per_s(9e6) == 0.0
