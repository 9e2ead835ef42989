"""Policer, Wi-Fi hop and steps of delay, in simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from testbed.errors import UserError
from testbed.links.base import DELIVERED, POLICED, Direction
from testbed.links.impairments import Policer
from traces.forms import Steps
from traces.model import Trace, constant

if TYPE_CHECKING:
    from conftest import Record, Simulation

MS = 1_000_000


def test_a_policer_passes_its_burst_then_its_rate_and_delays_nothing(
    simulation: Simulation,
) -> None:
    # 12 Mbit/s are offered to 6 Mbit/s with a burst of ten packets: the bucket, which fills by half
    # a packet between two, lasts for the first 19; then every other one passes.
    packets = [(number * MS, 1500) for number in range(200)]
    records = simulation.run(Direction(policer=Policer(6e6, 15_000)), packets)
    passed = [record.verdict == DELIVERED for record in records]
    assert passed[:19] == [True] * 19
    assert sum(passed[20:]) == 90
    assert {record.verdict for record in records} == {DELIVERED, POLICED}
    assert all(r.deliver_ns == r.enqueue_ns for r in records if r.verdict == DELIVERED)


def test_a_burst_that_holds_no_packet_is_refused() -> None:
    with pytest.raises(UserError, match="the burst must hold a packet"):
        Policer(6e6, 1000)


def wifi(simulation: Simulation, mean_ns: int, seed: int = 1) -> list[Record]:
    direction = Direction(capacity=constant(12e6), wifi_ns=mean_ns, delay_ns=5 * MS, seed=seed)
    return simulation.run(direction, [(number * 2 * MS, 1500) for number in range(20_000)])


def test_wifi_keeps_the_order_and_sends_aggregates(simulation: Simulation) -> None:
    records = wifi(simulation, 7 * MS)
    times_ns = np.array([record.deliver_ns for record in records])
    assert (np.diff(times_ns) >= 0).all()
    assert {record.verdict for record in records} == {DELIVERED}
    assert np.unique(times_ns, return_counts=True)[1].max() > 10
    assert all(record.deliver_ns >= record.due_ns + 5 * MS for record in records)
    assert [r.deliver_ns for r in wifi(simulation, 7 * MS)] == times_ns.tolist()
    assert [r.deliver_ns for r in wifi(simulation, 7 * MS, seed=2)] != times_ns.tolist()


def test_wifi_has_the_mean_access_time_that_is_asked_for(simulation: Simulation) -> None:
    # One packet every 400 ms: each has an access of its own.
    direction = Direction(wifi_ns=7 * MS, seed=3)
    records = simulation.run(direction, [(number * 400 * MS, 1500) for number in range(20_000)])
    times_ms = np.array([record.deliver_ns - record.enqueue_ns for record in records]) / MS
    # Mean of N1 ms, less half a slot if there is one, and x of 90 ms: 1 - (1 - 1/e) / 2 + 6.
    expected_ms = 1 - (1 - np.exp(-1)) / 2 + 6
    assert times_ms.mean() == pytest.approx(expected_ms, abs=4 * times_ms.std() / np.sqrt(20_000))
    assert (times_ms > 50).mean() == pytest.approx(6 / 90, abs=0.01)


def test_a_route_change_is_a_step_of_delay_without_reordering(simulation: Simulation) -> None:
    steps = Steps(
        np.array([0, 100 * MS, 200 * MS]),
        np.array([12e6, 12e6, 12e6]),
        delay_ns=np.array([30 * MS, 80 * MS, 10 * MS]),
    )
    trace = Trace("route", None, steps)
    packets = [(number * 5 * MS, 1500) for number in range(60)]
    records = simulation.run(Direction(capacity=trace), packets)
    delays_ms = [(record.deliver_ns - record.due_ns) / MS for record in records]
    assert set(delays_ms[:19]) == {30}
    assert set(delays_ms[20:39]) == {80}
    # The last of the long way arrive at 279 ms; those of the short way wait for them.
    assert delays_ms[41] > 10
    assert set(delays_ms[55:]) == {10}
    assert (np.diff([record.deliver_ns for record in records]) >= 0).all()
