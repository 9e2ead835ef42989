"""fq_codel, PIE, DualPI2 and ECN of the relay in simulated time, against the RFCs by hand."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.links.base import AQM_DROP, DELIVERED, TAIL_DROP, Direction, Queue
from testbed.links.queues import DEFAULTS, KINDS
from traces.model import constant

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from conftest import Record, Simulation

    Roots = Callable[[int], npt.NDArray[np.float64]]

MS = 1_000_000
NOT_ECT, ECT1, ECT0, CE = range(4)
RATE = constant(12e6)  # 1500 bytes a millisecond


def queue(kind: str, limit_bytes: int = 10**8, **asked: object) -> Queue:
    return Queue.of(kind, limit_bytes, asked, ecn=False)  # type: ignore[arg-type]


def served(records: list[Record]) -> list[Record]:
    return sorted((r for r in records if r.verdict == DELIVERED), key=lambda r: r.due_ns)


# --- ECN


def test_the_root_of_linux_is_near_the_root(inverse_roots: Roots) -> None:
    assert inverse_roots(2)[1] == pytest.approx(0.5, abs=1e-4)  # and not 0.71
    assert inverse_roots(50)[10:] == pytest.approx(1 / np.sqrt(np.arange(11, 51)), rel=0.01)


@pytest.mark.parametrize("kind", ["codel", "fq_codel"])
def test_codel_marks_where_it_would_drop(
    simulation: Simulation, inverse_roots: Roots, kind: str
) -> None:
    """The first at 105 ms, then interval / sqrt(count) apart as Linux knows the root; a mark takes
    its packet's time.
    """
    packets = [(0, 1500, ECT0, 7)] * 400
    records = simulation.run(Direction(capacity=RATE, queue=queue(kind, ecn=True)), packets)
    assert {record.verdict for record in records} == {DELIVERED}
    marked = [number for number, record in enumerate(served(records)) if record.marked]
    control_ms = 105 + np.concatenate(([0], np.cumsum(100 * inverse_roots(len(marked) - 1))))
    assert len(marked) > 4
    assert marked == np.ceil(control_ms).astype(int).tolist()


@pytest.mark.parametrize("kind", ["codel", "fq_codel"])
def test_codel_drops_what_knows_no_ecn(simulation: Simulation, kind: str) -> None:
    direction = Direction(capacity=RATE, queue=queue(kind, ecn=True))
    without = simulation.run(direction, [(0, 1500, NOT_ECT, 7)] * 400)
    plain = simulation.run(Direction(capacity=RATE, queue=queue("codel")), [(0, 1500)] * 400)
    verdicts = [record.verdict for record in without]
    assert AQM_DROP in verdicts
    assert verdicts == [record.verdict for record in plain]
    assert not any(record.marked for record in without)


# --- fq_codel (RFC 8290)


def test_flows_take_turns_by_their_deficit(simulation: Simulation) -> None:
    """A quantum of 1500: one packet of 1500 bytes against three of 500 in turn."""
    packets = [(0, 1500, 0, 1)] * 6 + [(0, 500, 0, 2)] * 18
    records = simulation.run(Direction(capacity=RATE, queue=queue("fq_codel")), packets)
    sent = served(records)
    # The first packet of flow 1 found an idle link and used up the flow's first quantum.
    bytes_of = {1: 0, 2: 0}
    for record in sent[:-3]:
        bytes_of[record.port] += record.size_bytes
        assert abs(bytes_of[1] - bytes_of[2]) <= 2 * 1500
    assert [record.port for record in sent[1:9]] == [2, 2, 2, 1, 2, 2, 2, 1]


def test_a_new_flow_overtakes_a_standing_queue(simulation: Simulation) -> None:
    packets = [*[(0, 1500, 0, 1)] * 50, (10 * MS, 100, 0, 2)]
    records = simulation.run(Direction(capacity=RATE, queue=queue("fq_codel")), packets)
    sparse = next(record for record in records if record.port == 2)
    # A packet is being sent from 10 ms on; then it is the new flow's turn.
    assert sparse.due_ns == pytest.approx(11 * MS + 100 * 8e9 / 12e6, abs=10)


def test_the_longest_flow_makes_room(simulation: Simulation) -> None:
    """Ten packets fit. The eleventh, of the short flow, costs the long one half of its bytes from
    the head: 9 wait, and 5 of them go before half is reached.
    """
    limit = queue("fq_codel", 15_000)
    packets = [*[(0, 1500, 0, 1)] * 10, (1, 1500, 0, 2)]
    records = simulation.run(Direction(capacity=RATE, queue=limit), packets)
    dropped = [record for record in records if record.verdict == TAIL_DROP]
    assert [record.port for record in dropped] == [1] * 5
    assert [record.queue_bytes for record in dropped] == [1500 * n for n in range(1, 6)]
    assert len(served(records)) == 6


def newton_step(root: int, count: int) -> int:
    """Linux's codel_Newton_step: roots in 65536ths; far from the root it overflows, as there."""
    whole = root << 16
    value = ((3 << 32) - count * (whole * whole >> 32)) % 2**64
    return ((value >> 2) * whole % 2**64 >> 47) % 2**16


def test_an_overflow_counts_for_codel(simulation: Simulation) -> None:
    """A flow that is being marked, then at 500 ms a burst that does not fit and takes the place of
    what waited: an interval later CoDel goes on from its count and what the burst cost.
    """
    packets = [(0, 1500, ECT0, 1)] * 20 + [(ms * MS, 1500, ECT0, 1) for ms in range(900)]
    packets = sorted([*packets, *[(500 * MS, 1500, ECT0, 1)] * 100])
    direction = Direction(capacity=RATE, queue=queue("fq_codel", 75_000, ecn=True))
    records = simulation.run(direction, packets)
    lost = sum(record.verdict == TAIL_DROP for record in records)
    starts_ms = [round(record.due_ns / MS) - 1 for record in served(records) if record.marked]
    before = [start for start in starts_ms if start <= 500]
    again, *after = [start for start in starts_ms if start > 500]
    assert len(before) > 5
    assert 600 <= again <= 610

    root = 2**16 - 1
    for count in range(2, len(before) + 1):
        root = newton_step(root, count)
    count = len(before) + lost - 1  # of which one was there when the first marks began
    root = newton_step(root, count)
    next_ms, expected = again + 100 * root / 2**16, []
    for start in range(again + 1, max(after) + 1):
        if start >= next_ms:
            expected.append(start)
            count += 1
            root = newton_step(root, count)
            next_ms += 100 * root / 2**16
    assert after == expected
    assert lost > 30


# --- PIE (RFC 8033)


class SplitMix64:
    """The relay's generator (random.h), seeded as one of its streams."""

    def __init__(self, seed: int, stream: int) -> None:
        self.state = seed ^ (stream << 56)
        self.state = self.next()

    def next(self) -> int:
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self) -> float:
        return (self.next() >> 11) * 2.0**-53


SCALES = ((1e-1, 2), (1e-2, 8), (1e-3, 32), (1e-4, 128), (1e-5, 512), (1e-6, 2048))


class Pie:
    """The RFC's pseudo-code (sections 4.1 to 4.3 and 5.1 to 5.5), delays by timestamps; times in
    ns, so that what happens at once does so here too. As in Linux, a mark that is due because the
    sum of probabilities has reached 8.5 leaves the sum.
    """

    def __init__(self, ecn: bool) -> None:
        self.ecn, self.random = ecn, SplitMix64(0, 4)
        self.probability = self.accumulated = 0.0
        self.delay = self.old = 0
        self.burst, self.last = 150 * MS, 0
        self.waiting: deque[int] = deque()

    def update(self) -> None:
        scale = 1.0
        for bound, divisor in SCALES:
            if self.probability < bound:
                scale = 1 / divisor
        step = scale * 0.125 * (self.delay - 15 * MS) / 1e9
        step += scale * 1.25 * (self.delay - self.old) / 1e9
        if step > 0.02 and self.probability >= 0.1:
            step = 0.02
        if self.delay > 250 * MS:
            step += 0.02
        self.probability = min(1.0, max(0.0, self.probability + step))
        if self.delay == 0 and self.old == 0 and not self.waiting:
            self.probability *= 1 - 1 / 64
        if self.delay < 7.5 * MS and self.old < 7.5 * MS and self.probability == 0:
            self.burst, self.accumulated, self.last = 150 * MS, 0.0, 0
        self.old = self.delay

    def arrive(self, at: int, can_mark: bool) -> str:
        """What becomes of a packet: pass, mark or drop."""
        verdict = "pass"
        if self.early():
            verdict = "mark" if self.ecn and can_mark and self.probability <= 0.1 else "drop"
        if verdict == "drop":
            self.accumulated = 0.0
        else:
            self.waiting.append(at)
        return verdict

    def early(self) -> bool:
        if self.burst > 0 or len(self.waiting) < 2:
            return False
        if self.delay < 7.5 * MS and self.probability < 0.2:
            return False
        self.accumulated = self.accumulated + self.probability if self.probability else 0.0
        if self.accumulated < 0.85:
            return False
        if self.accumulated >= 8.5:
            return True
        if self.random.uniform() >= self.probability:
            return False
        self.accumulated = 0.0
        return True

    def leave(self, at: int) -> None:
        arrived = self.waiting.popleft()
        self.delay = at - arrived if self.waiting else 0
        self.burst = max(0, self.burst - (at - self.last if self.last else 0))
        self.last = at


def pie_by_hand(arrivals: list[tuple[int, ...]], ecn: bool) -> list[str]:
    """Verdicts at 12 Mbit/s, every packet of 1500 bytes, the first update 15 ms after the first."""
    pie, verdicts, free, update = Pie(ecn), [], 0, arrivals[0][0] + 15 * MS

    def go_on(until: int) -> None:
        nonlocal update
        while update <= until:
            pie.update()
            update += 15 * MS

    for at, _, codepoint in arrivals:
        while pie.waiting and free <= at:
            go_on(free)
            pie.leave(free)
            free += MS
        go_on(at)
        verdicts.append(pie.arrive(at, codepoint != NOT_ECT))
        if pie.waiting and free <= at:  # the link was idle
            pie.leave(at)
            free = at + MS
    return verdicts


def pie_by_relay(simulation: Simulation, arrivals: list[tuple[int, ...]], ecn: bool) -> list[str]:
    direction = Direction(capacity=RATE, queue=queue("pie", ecn=ecn))
    records = simulation.run(direction, arrivals)
    words = {DELIVERED: "pass", AQM_DROP: "drop"}
    return ["mark" if record.marked else words[record.verdict] for record in records]


@pytest.mark.parametrize(("ecn", "spacing_us"), [(False, 700), (True, 700), (True, 900)])
def test_pie_is_the_rfcs_pseudo_code(simulation: Simulation, ecn: bool, spacing_us: int) -> None:
    """Too much for the link, then two thirds of it, then too much again: the same packets."""
    arrivals, at_ns = [], 0
    for number in range(3000):
        at_ns += (spacing_us if number // 1000 != 1 else 1500) * 1000 + 7
        arrivals.append((at_ns, 1500, ECT0 if ecn else NOT_ECT))
    expected = pie_by_hand(arrivals, ecn)
    assert pie_by_relay(simulation, arrivals, ecn) == expected
    assert expected.count("drop") > 50 or spacing_us == 900
    assert ("mark" in expected) == ecn
    first = next(number for number, verdict in enumerate(expected) if verdict != "pass")
    assert arrivals[first][0] > 150 * MS  # the burst allowance


def test_pie_leaves_a_short_queue_alone(simulation: Simulation) -> None:
    packets = [(pair * 2 * MS, 1500) for pair in range(2000) for _ in range(2)]
    records = simulation.run(Direction(capacity=RATE, queue=queue("pie")), packets)
    assert {record.verdict for record in records} == {DELIVERED}


# --- DualPI2 (RFC 9332)


def dual_probability(delays_ms: list[float]) -> list[float]:
    """p' after each update of 16 ms, by figure 6 with Linux's gains."""
    found, p, before = [], 0.0, 0.0
    for delay_ms in delays_ms:
        now = delay_ms / 1e3
        p = min(1.0, max(0.0, p + 41 / 256 * (now - 0.015) + 819 / 256 * (now - before)))
        before = now
        found.append(p)
    return found


def test_dualpi2_drops_classic_packets_by_the_square(simulation: Simulation) -> None:
    """A standing queue of 300 packets: at update k the head has waited about 16 k ms."""
    records = simulation.run(
        Direction(capacity=RATE, queue=queue("dualpi2")), [(0, 1500, NOT_ECT)] * 300
    )
    probability = dual_probability([16.0 * k for k in range(1, 40)])
    dropped = [record for record in records if record.verdict == AQM_DROP]
    random, expected = SplitMix64(0, 8), []
    number, at_ms = 0, 0.0
    while number < 300:
        updates = int(at_ms // 16)
        p = probability[updates - 1] if updates else 0.0
        # Two packets' worth must wait behind it.
        if number <= 300 - 3 and random.uniform() < p and random.uniform() < p:
            expected.append(number)
        else:
            at_ms += 1
        number += 1
    assert [record.queue_bytes // 1500 for record in dropped] == expected
    assert len(expected) > 20


def test_dualpi2_marks_classic_packets_that_know_ecn(simulation: Simulation) -> None:
    direction = Direction(capacity=RATE, queue=queue("dualpi2"))
    records = simulation.run(direction, [(0, 1500, ECT0)] * 110)
    assert {record.verdict for record in records} == {DELIVERED}
    assert any(record.marked for record in records)


def test_l4s_packets_go_first_and_leave_the_classic_ones_their_share(
    simulation: Simulation,
) -> None:
    packets = [(0, 1500, NOT_ECT, 1)] * 40 + [(0, 1500, ECT1, 2)] * 40
    # Nothing is dropped or marked by the controller with a target that is never reached.
    calm = queue("dualpi2", target_ns=10**12, step_thresh_ns=10**12)
    sent = served(simulation.run(Direction(capacity=RATE, queue=calm), packets))
    ports = [record.port for record in sent]
    both = ports[1 : 1 + 40]
    assert both.count(1) == 4  # one in ten
    assert all(
        later - earlier == 10
        for earlier, later in pairwise([place for place, port in enumerate(both) if port == 1])
    )


@pytest.mark.parametrize(("again_ms", "first"), [(10.5, "classic"), (11.5, "l4s")])
def test_the_credit_begins_anew_when_the_link_is_idle(
    simulation: Simulation, again_ms: float, first: str
) -> None:
    """Nine L4S packets before a classic one that waits: it is the classic queue's turn then, also
    for packets that come while the last one is being sent (until 11 ms).
    """
    calm = queue("dualpi2", target_ns=10**12, step_thresh_ns=10**12)
    at_ns = round(again_ms * MS)
    packets = [(0, 1500, NOT_ECT, 1), (0, 1500, NOT_ECT, 1)] + [(0, 1500, ECT1, 1)] * 9
    packets += [(at_ns, 1500, NOT_ECT, 4)] * (again_ms > 11)  # finds an idle link, and goes at once
    packets += [(at_ns, 1500, ECT1, 2), (at_ns, 1500, NOT_ECT, 3)]
    sent = served(simulation.run(Direction(capacity=RATE, queue=calm), packets))
    assert [record.port for record in sent][-2:] == ([3, 2] if first == "classic" else [2, 3])


def test_the_step_marks_l4s_packets_that_waited(simulation: Simulation) -> None:
    """Packet n begins to be sent at n ms: above 1 ms all are marked, however short the time for the
    controller.
    """
    direction = Direction(capacity=RATE, queue=queue("dualpi2"))
    sent = served(simulation.run(direction, [(0, 1500, ECT1)] * 10))
    assert [record.marked for record in sent] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]


# --- settings


def test_parameters_are_the_kernels() -> None:
    assert set(DEFAULTS) == set(KINDS)
    assert Queue.of("pie", 10**6, {"target_ns": 5 * MS}, ecn=True).parameters() == {
        "target_ns": 5 * MS,
        "tupdate_ns": 15 * MS,
        "alpha": 2,
        "beta": 20,
        "ecn": True,
    }
    assert not Queue.of("codel", 10**6, {}, ecn=False).ecn
    assert not Queue.of("fq_codel", 10**6, {"ecn": False}, ecn=True).ecn
    with pytest.raises(UserError, match="codel has no quantum; its options: ecn, interval, target"):
        Queue.of("codel", 10**6, {"quantum": 300}, ecn=False)
    with pytest.raises(UserError, match=r"quantum = 7 is not in 256\.\.1048576"):
        Queue.of("fq_codel", 10**6, {"quantum": 7}, ecn=False)
