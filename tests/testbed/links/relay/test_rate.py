"""Trace playback and the drop-tail queue of the relay, in simulated time."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from testbed.links.base import DELIVERED, IN_QUEUE, TAIL_DROP, Direction, Queue
from traces.forms import Opportunities, Steps
from traces.model import Trace, constant

if TYPE_CHECKING:
    from conftest import Simulation

MS = 1_000_000
GAPS = st.one_of(st.just(1), st.integers(1, 3 * MS))  # bursts and pauses
PACKETS = st.lists(st.tuples(GAPS, st.integers(40, 1500)), min_size=1, max_size=60)


def steps(*pairs: tuple[int, float], period_ns: int | None = None) -> Trace:
    start_ns, capacity_bps = zip(*pairs, strict=True)
    return Trace("steps", period_ns, Steps(np.array(start_ns), np.array(capacity_bps, float)))


def opportunities(*pairs: tuple[int, int], period_ns: int | None = None) -> Trace:
    at_ns, size_bytes = zip(*pairs, strict=True)
    return Trace(
        "opportunities",
        period_ns,
        opportunities=Opportunities(np.array(at_ns), np.array(size_bytes)),
    )


def due(
    simulation: Simulation, capacity: Trace | None, packets: list[tuple[int, int]], **settings: int
) -> list[int]:
    records = simulation.run(Direction(capacity=capacity), packets, **settings)
    return [record.due_ns for record in records]


def test_a_constant_rate_sends_back_to_back(simulation: Simulation) -> None:
    # 1500 bytes at 12 Mbit/s take 1 ms; the fourth packet finds the link idle.
    packets = [(0, 1500), (0, 1500), (0, 1500), (10 * MS, 1500)]
    assert due(simulation, constant(12e6), packets) == [1 * MS, 2 * MS, 3 * MS, 11 * MS]


def test_rounding_does_not_add_up(simulation: Simulation) -> None:
    # 100 bytes at 7 Mbit/s take 114285.71 ns: 3000 of them 342857142.86 ns.
    assert due(simulation, constant(7e6), [(0, 100)] * 3000)[-1] in (342857142, 342857143)


def test_a_packet_is_carried_across_a_change_of_rate(simulation: Simulation) -> None:
    # Half of it in 0.5 ms at 12 Mbit/s, the rest at 6 Mbit/s in 1 ms.
    assert due(simulation, steps((0, 12e6), (500_000, 6e6)), [(0, 1500)]) == [1_500_000]


def test_an_outage_holds_the_queue(simulation: Simulation) -> None:
    trace = steps((0, 12e6), (MS, 0), (51 * MS, 12e6))
    assert due(simulation, trace, [(0, 1500), (0, 1500), (20 * MS, 1500)]) == [MS, 52 * MS, 53 * MS]


def test_an_outage_for_ever_leaves_packets_in_the_queue(simulation: Simulation) -> None:
    records = simulation.run(Direction(capacity=steps((0, 12e6), (MS, 0))), [(0, 1500), (0, 1500)])
    assert [(record.verdict, record.deliver_ns) for record in records] == [
        (DELIVERED, MS),
        (IN_QUEUE, -1),
    ]


def test_a_trace_repeats(simulation: Simulation) -> None:
    trace = steps((0, 12e6), (MS, 0), period_ns=10 * MS)
    assert due(simulation, trace, [(0, 1500)] * 3) == [MS, 11 * MS, 21 * MS]
    # Long past repetitions are skipped, not walked through.
    assert due(simulation, trace, [(10**14 + 5 * MS, 1500)]) == [10**14 + 11 * MS]


def test_before_time_zero_the_first_rate_holds(simulation: Simulation) -> None:
    trace = steps((0, 12e6), (MS, 24e6))
    packets = [(0, 1500), (50 * MS, 1500), (101 * MS, 1500)]
    assert due(simulation, trace, packets, zero_ns=100 * MS) == [MS, 51 * MS, 101_500_000]


def test_unlimited_capacity_does_not_wait(simulation: Simulation) -> None:
    assert due(simulation, None, [(5, 1500), (5, 1500)]) == [5, 5]


def test_opportunities_carry_several_small_packets_or_part_of_a_large_one(
    simulation: Simulation,
) -> None:
    trace = opportunities((1 * MS, 1500), (2 * MS, 1500), (3 * MS, 1500), (4 * MS, 1500))
    # 600+600 and the first 300 of the next go at 1 ms, its other 900 and 600 of the last at 2 ms,
    # the rest at 3 ms.
    packets = [(0, 600), (0, 600), (0, 1200), (0, 1500)]
    assert due(simulation, trace, packets) == [MS, MS, 2 * MS, 3 * MS]


def test_an_opportunity_without_a_packet_is_lost(simulation: Simulation) -> None:
    trace = opportunities((1 * MS, 1500), (2 * MS, 1500), (3 * MS, 1500))
    # 500 bytes of the first one are used; the packet that arrives later cannot have the rest.
    assert due(simulation, trace, [(0, 500), (1 * MS + 1, 1500), (1 * MS + 1, 1500)]) == [
        MS,
        2 * MS,
        3 * MS,
    ]


def test_opportunities_end_or_repeat(simulation: Simulation) -> None:
    pairs = ((1 * MS, 1500), (2 * MS, 1500))
    assert due(simulation, opportunities(*pairs), [(0, 1500)] * 3) == [MS, 2 * MS, -1]
    assert due(simulation, opportunities(*pairs, period_ns=2 * MS), [(0, 1500)] * 4) == [
        MS,
        2 * MS,
        3 * MS,
        4 * MS,
    ]


def test_before_time_zero_opportunities_run_at_their_mean_rate(simulation: Simulation) -> None:
    # 1500 bytes per 1 ms on average; what is left of the second packet at time zero waits for an
    # opportunity.
    trace = opportunities((2 * MS, 3000), period_ns=2 * MS)
    packets = [(0, 1500), (9_500_000, 1500)]
    assert due(simulation, trace, packets, zero_ns=10 * MS) == [MS, 12 * MS]


def test_an_empty_opportunity_carries_nothing(simulation: Simulation) -> None:
    trace = opportunities((1 * MS, 0), (2 * MS, 1500))
    assert due(simulation, trace, [(0, 1500)]) == [2 * MS]


def test_the_queue_holds_its_bytes_and_the_packet_being_sent(simulation: Simulation) -> None:
    direction = Direction(capacity=constant(12e6), queue=Queue(limit_bytes=4000))
    packets = [(0, 1500), (1, 1500), (2, 1001), (3, 1000), (4, 40), (MS, 1500)]
    records = simulation.run(direction, packets)
    assert [record.verdict for record in records] == [
        DELIVERED,
        DELIVERED,
        TAIL_DROP,
        DELIVERED,
        TAIL_DROP,
        DELIVERED,
    ]
    assert [record.queue_bytes for record in records] == [0, 1500, 3000, 3000, 4000, 2500]


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    rates=st.lists(
        st.tuples(st.integers(1, MS), st.sampled_from([0, 1e5, 3e6, 1e7, 123456789.0])), max_size=6
    ),
    last_bps=st.sampled_from([1e6, 17e6]),
    repeats=st.booleans(),
    gaps=PACKETS,
    limit_bytes=st.sampled_from([1500, 5000, 10**9]),
)
def test_steps_serve_the_exact_integral_of_the_rate(
    simulation: Simulation,
    rates: list[tuple[int, float]],
    last_bps: float,
    repeats: bool,
    gaps: list[tuple[int, int]],
    limit_bytes: int,
) -> None:
    durations = [duration for duration, _ in rates] + [MS]
    starts = np.concatenate(([0], np.cumsum(durations)[:-1])).tolist()
    capacities = [rate for _, rate in rates] + [last_bps]
    trace = steps(
        *zip(starts, capacities, strict=True), period_ns=sum(durations) if repeats else None
    )
    packets, at_ns = [], 0
    for gap, size in gaps:
        at_ns += gap
        packets.append((at_ns, size))
    records = simulation.run(
        Direction(capacity=trace, queue=Queue(limit_bytes=limit_bytes)), packets
    )

    finish = Fraction(0)
    accepted: list[tuple[int, int]] = []
    for (arrival, size), record in zip(packets, records, strict=True):
        backlog = sum(other for other, leaves in accepted if leaves > arrival)
        assert record.queue_bytes == backlog
        assert (record.verdict == TAIL_DROP) == (backlog + size > limit_bytes)
        if record.verdict == TAIL_DROP:
            continue
        start = finish if accepted and accepted[-1][1] >= arrival else Fraction(arrival)
        finish = _integrate(trace, start, size)
        assert abs(record.due_ns - finish) <= 1
        accepted.append((size, record.due_ns))


def _integrate(trace: Trace, at_ns: Fraction, size: int) -> Fraction:
    assert trace.steps is not None
    bits = Fraction(size * 8)
    starts = [int(start) for start in trace.steps.start_ns]
    while True:
        cycle = (at_ns // trace.period_ns) * trace.period_ns if trace.period_ns else 0
        index = max(i for i, start in enumerate(starts) if cycle + start <= at_ns)
        last = index + 1 == len(starts)
        end: Fraction | float = (
            cycle + (trace.period_ns or inf) if last else Fraction(cycle + starts[index + 1])
        )
        rate = Fraction(float(trace.steps.capacity_bps[index])) / 10**9
        if rate and at_ns + bits / rate <= end:
            return at_ns + bits / rate
        assert isinstance(end, Fraction | int)
        bits -= (end - at_ns) * rate
        at_ns = Fraction(end)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 2 * MS), st.integers(1, 4000)), min_size=1, max_size=12
    ),
    gaps=PACKETS,
)
def test_opportunities_follow_mahimahis_link_queue(
    simulation: Simulation, pairs: list[tuple[int, int]], gaps: list[tuple[int, int]]
) -> None:
    at_ns = np.cumsum([2 * gap + 2 for gap, _ in pairs])  # even; arrivals are odd: no ties
    period_ns = int(at_ns[-1])
    trace = opportunities(
        *((int(t), size) for t, (_, size) in zip(at_ns, pairs, strict=True)), period_ns=period_ns
    )
    packets, arrival = [], 1
    for gap, size in gaps:
        packets.append((arrival, size))
        arrival += 2 * gap
    expected, waiting, rounds = [], [], 0
    coming = list(packets)
    while len(expected) < len(packets):
        for opportunity_ns, (_, budget) in zip(at_ns + rounds * period_ns, pairs, strict=True):
            while coming and coming[0][0] < opportunity_ns:
                waiting.append(coming.pop(0)[1])
            while waiting and budget:
                used = min(budget, waiting[0])
                budget -= used
                waiting[0] -= used
                if not waiting[0]:
                    waiting.pop(0)
                    expected.append(int(opportunity_ns))
        rounds += 1
    records = simulation.run(Direction(capacity=trace, queue=Queue(limit_bytes=10**9)), packets)
    assert [record.due_ns for record in records] == expected
