"""CoDel, loss, delay and jitter of the relay, in simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from testbed.links.base import (
    AQM_DROP,
    DELIVERED,
    DUPLICATE,
    RANDOM_LOSS,
    TAIL_DROP,
    Direction,
    Queue,
)
from testbed.links.impairments import Loss, Reorder
from traces.forms import Steps
from traces.model import Trace, constant

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from conftest import Simulation

MS = 1_000_000


def codel(limit_bytes: int = 10**8) -> Queue:
    return Queue("codel", limit_bytes, target_ns=5 * MS, interval_ns=100 * MS)


def test_codel_drops_by_its_control_law(
    simulation: Simulation, inverse_roots: Callable[[int], npt.NDArray[np.float64]]
) -> None:
    # A standing queue of 400 packets at 12 Mbit/s: packet n starts at n ms, so the sojourn time
    # first exceeds 5 ms at 5 ms, and dropping begins an interval later, at 105 ms. The next drops
    # come interval/sqrt(count) apart, as Linux knows the root.
    records = simulation.run(Direction(capacity=constant(12e6), queue=codel()), [(0, 1500)] * 400)
    dropped = sorted(record.queue_bytes // 1500 for record in records if record.verdict == AQM_DROP)
    # A drop takes no time on the link: the packet behind it starts in the same millisecond.
    times_ms = [number - before for before, number in enumerate(dropped)]
    control_ms = 105 + np.concatenate(([0], np.cumsum(100 * inverse_roots(len(dropped) - 1))))
    assert len(dropped) > 4
    assert times_ms == np.ceil(control_ms).astype(int).tolist()


def test_codel_leaves_a_short_queue_alone(simulation: Simulation) -> None:
    # Offered exactly at the link's rate, in pairs: 1 ms of queue for as long as it takes.
    packets = [(pair * 2 * MS, 1500) for pair in range(500) for _ in range(2)]
    records = simulation.run(Direction(capacity=constant(12e6), queue=codel()), packets)
    assert {record.verdict for record in records} == {DELIVERED}


def test_codel_never_drops_the_last_packet(simulation: Simulation) -> None:
    # Single packets that each wait out an outage of 200 ms.
    trace = Trace("outages", 400 * MS, Steps(np.array([0, 200 * MS]), np.array([0.0, 12e6])))
    packets = [(turn * 400 * MS, 1500) for turn in range(20)]
    records = simulation.run(Direction(capacity=trace, queue=codel()), packets)
    assert {record.verdict for record in records} == {DELIVERED}


def test_codel_keeps_its_byte_limit(simulation: Simulation) -> None:
    records = simulation.run(
        Direction(capacity=constant(12e6), queue=codel(15_000)), [(0, 1500)] * 20
    )
    assert [record.verdict for record in records].count(TAIL_DROP) == 10


def test_random_loss_has_its_rate_and_its_seed(simulation: Simulation) -> None:
    def lost(seed: int) -> list[bool]:
        direction = Direction(loss=Loss.random(0.1), seed=seed)
        packets = [(number * MS, 1500) for number in range(20_000)]
        return [record.verdict == RANDOM_LOSS for record in simulation.run(direction, packets)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    # Three standard deviations of a binomial share.
    assert np.mean(lost(1)) == pytest.approx(0.1, abs=3 * np.sqrt(0.1 * 0.9 / 20_000))


def test_gilbert_elliott_loses_in_bursts(simulation: Simulation) -> None:
    loss = Loss(p_good_bad=0.02, p_bad_good=0.25)
    packets = [(number * MS, 1500) for number in range(50_000)]
    records = simulation.run(Direction(loss=loss, seed=3), packets)
    lost = np.array([record.verdict == RANDOM_LOSS for record in records])
    assert lost.mean() == pytest.approx(loss.mean, rel=0.1)
    bursts = np.diff(np.flatnonzero(np.diff(np.concatenate(([0], lost.astype(int), [0])))))[::2]
    assert bursts.mean() == pytest.approx(1 / 0.25, rel=0.1)


def test_lost_packets_use_the_link(simulation: Simulation) -> None:
    direction = Direction(capacity=constant(12e6), loss=Loss.random(1.0))
    records = simulation.run(direction, [(0, 1500), (0, 1500)])
    assert [(record.dequeue_ns, record.deliver_ns) for record in records] == [
        (MS, -1),
        (2 * MS, -1),
    ]


def test_delay_comes_after_the_queue(simulation: Simulation) -> None:
    records = simulation.run(
        Direction(capacity=constant(12e6), delay_ns=20 * MS), [(0, 1500), (0, 1500)]
    )
    assert [(record.dequeue_ns, record.deliver_ns) for record in records] == [
        (MS, 21 * MS),
        (2 * MS, 22 * MS),
    ]


def test_jitter_delays_but_never_reorders(simulation: Simulation) -> None:
    direction = Direction(delay_ns=20 * MS, jitter_ns=5 * MS, seed=4)
    records = simulation.run(direction, [(number * MS, 1500) for number in range(5000)])
    deliver_ns = np.array([record.deliver_ns for record in records])
    delay_ns = deliver_ns - np.arange(5000) * MS
    assert (np.diff(deliver_ns) >= 0).all()
    assert delay_ns.min() >= 20 * MS
    assert delay_ns.max() <= 25 * MS
    # Had no packet to wait for another, delays would be uniform; waiting only adds to them.
    assert delay_ns.mean() >= 22.4 * MS
    assert len(np.unique(delay_ns)) > 2000


def test_a_trace_brings_delay_and_loss_along(simulation: Simulation) -> None:
    steps = Steps(
        np.array([0, 100 * MS, 200 * MS]),
        np.full(3, 12e6),
        delay_ns=np.array([0, 30 * MS, 10 * MS]),
        loss=np.array([0.0, 0.0, 1.0]),
    )
    direction = Direction(capacity=Trace("steps", None, steps), delay_ns=5 * MS)
    packets = [(9 * MS, 1500), (149 * MS, 1500), (249 * MS, 1500)]
    records = simulation.run(direction, packets)
    assert [record.deliver_ns for record in records] == [15 * MS, 185 * MS, -1]
    assert records[2].verdict == RANDOM_LOSS


def test_a_shorter_delay_does_not_overtake(simulation: Simulation) -> None:
    steps = Steps(np.array([0, 10 * MS]), np.full(2, 12e6), delay_ns=np.array([30 * MS, 0]))
    records = simulation.run(
        Direction(capacity=Trace("steps", None, steps)), [(8 * MS, 1500), (11 * MS, 1500)]
    )
    assert [record.deliver_ns for record in records] == [39 * MS, 39 * MS]


def test_reordered_packets_are_overtaken(simulation: Simulation) -> None:
    packets = [(number * MS, 1500) for number in range(2000)]
    direction = Direction(
        capacity=constant(120e6), delay_ns=20 * MS, reorder=Reorder(0.1, 5 * MS), seed=3
    )
    records = simulation.run(direction, packets)
    assert {record.verdict for record in records} == {DELIVERED}
    taken_ns = np.array([record.deliver_ns - record.due_ns for record in records])
    assert set(taken_ns.tolist()) == {20 * MS, 25 * MS}
    assert 150 < (taken_ns == 25 * MS).sum() < 250
    # In the log's order of arrival, a reordered packet is delivered after the four behind it.
    delivered = np.array([record.deliver_ns for record in records])
    late = next(
        n for n in range(2000) if (taken_ns[n : n + 6] == 20 * MS).tolist() == [False] + [True] * 5
    )
    assert (delivered[late + 1 : late + 5] < delivered[late]).all()
    assert delivered[late + 5] >= delivered[late]


def test_copies_follow_their_packet(simulation: Simulation) -> None:
    packets = [(number * MS, 1500, 0, number + 1) for number in range(2000)]
    direction = Direction(capacity=constant(120e6), delay_ns=20 * MS, duplicate=0.05, seed=3)
    records = simulation.run(direction, packets)
    copies = {record.port: record for record in records if record.verdict == DUPLICATE}
    originals = {record.port: record for record in records if record.verdict == DELIVERED}
    assert len(originals) == 2000
    assert 60 < len(copies) < 140
    for port, copy in copies.items():
        assert copy.deliver_ns == originals[port].deliver_ns
        assert copy.size_bytes == originals[port].size_bytes


def test_neither_changes_the_losses(simulation: Simulation) -> None:
    """Every purpose has a random stream of its own."""

    def lost(**extra: object) -> list[int]:
        direction = Direction(loss=Loss.random(0.1), seed=5, **extra)  # type: ignore[arg-type]
        records = simulation.run(direction, [(n, 1500, 0, n + 1) for n in range(2000)])
        return [record.port for record in records if record.verdict == RANDOM_LOSS]

    assert lost() == lost(reorder=Reorder(0.2, MS), duplicate=0.2)
