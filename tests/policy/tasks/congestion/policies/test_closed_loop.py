"""Light policies in the closed loop of policy.tasks.congestion.simulator."""

import functools

import numpy as np
import pytest

import traces
from policy.api import PolicyContext
from policy.registry import create
from policy.tasks.congestion.policies.gcc import Gcc
from policy.tasks.congestion.simulator import (
    MSS_BYTES,
    STEP_NS,
    Cubic,
    Links,
    Outcome,
    PolicyController,
    Source,
    simulate,
)

TRACES = ("lte-driving", "lte-walking", "wifi", "steps", "constant-12mbit")
SECONDS = 20


@functools.cache
def links(rtt_ms: int = 60) -> Links:
    edges = np.arange(SECONDS * 1000 + 1) * 1_000_000
    capacity = np.stack(
        [traces.load(name).capacity_bytes(edges[:-1], edges[1:]) * 8e3 for name in TRACES], axis=1
    )
    rtts = np.full(len(TRACES), rtt_ms)
    return Links(capacity, rtts, 2 * capacity.mean(axis=0) * rtts / 8e3)


@functools.cache
def cubic_on_traces() -> Outcome:
    return simulate(links(), Cubic(len(TRACES)), skip_ms=1000)


@functools.cache
def on_traces(tier: str) -> Outcome:
    return run(tier, links())


class Steady:
    """An application that makes data at a constant rate."""

    def __init__(self, bps: float) -> None:
        self._bytes = bps * STEP_NS / 8e9

    def observe(self, state: object, step: int) -> None:
        """Not looked at."""

    def produce(self, step: int, backlog_bytes: np.ndarray) -> np.ndarray:
        return np.full(len(backlog_bytes), self._bytes)


def run(tier: str, made: Links, skip_ms: int = 1000, source: Source | None = None) -> Outcome:
    n = made.capacity_bps.shape[1]
    return simulate(made, PolicyController(create(tier, PolicyContext(n)), n), skip_ms, source)


def constant(bps: float, seconds: int, rtt_ms: int = 60, bdp: float = 2) -> Links:
    steps = seconds * 1000
    return Links(np.full((steps, 1), bps), np.array([rtt_ms]), np.array([bdp * bps * rtt_ms / 8e3]))


@pytest.mark.parametrize(
    ("tier", "share", "most"), [("gcc", 0.85, 0.6), ("persistence", 0.93, 0.75)]
)
def test_cubics_queueing_delay_is_halved_at_most_of_its_throughput(
    tier: str, share: float, most: float
) -> None:
    """Over the traces together; single ones may miss it."""
    delay = on_traces(tier).queueing_p95_ms / cubic_on_traces().queueing_p95_ms
    throughput = on_traces(tier).throughput_bps / cubic_on_traces().throughput_bps
    assert delay.mean() < 0.5
    assert throughput.mean() > share
    assert delay.max() < most
    assert throughput.min() > share - 0.05


@pytest.mark.parametrize("tier", ["persistence", "gcc", "bbr-lite", "aimd"])
@pytest.mark.parametrize("rtt_ms", [20, 120])
def test_a_constant_link_is_filled(tier: str, rtt_ms: int) -> None:
    assert run(tier, constant(12e6, 10, rtt_ms), 2000).utilisation[0] > 0.95


@pytest.mark.parametrize("tier", ["persistence", "gcc"])
def test_ramps_up_within_two_seconds(tier: str) -> None:
    outcome = run(tier, constant(200e6, 4), 2000)
    assert outcome.utilisation[0] > 0.9


@pytest.mark.parametrize("tier", ["persistence", "gcc", "bbr-lite"])
def test_after_an_outage_the_queue_drains_and_the_rate_comes_back(tier: str) -> None:
    made = constant(12e6, 12)
    made.capacity_bps[5000:6000] = 0
    outcome = run(tier, made, 0)
    last = slice(8000, 12000)
    assert outcome.delivered_bytes[last].sum() * 8 / 4 > 0.9 * 12e6
    assert np.median(outcome.queueing_ms[last]) < 20


@pytest.mark.parametrize("tier", ["persistence", "gcc"])
def test_follows_a_drop_and_drains_the_queue(tier: str) -> None:
    made = constant(20e6, 10)
    made.capacity_bps[5000:] = 5e6
    outcome = run(tier, made, 0)
    assert outcome.queueing_ms[7000:].mean() < 40
    assert outcome.delivered_bytes[7000:].sum() * 8 / 3 > 0.85 * 5e6


@pytest.mark.parametrize("tier", ["persistence", "gcc", "bbr-lite"])
def test_an_application_limited_flow_does_not_talk_itself_down(tier: str) -> None:
    outcome = run(tier, constant(12e6, 15), 2000, Steady(2e6))
    assert outcome.throughput_bps[0] == pytest.approx(2e6, rel=0.02)
    assert outcome.pacing_rate_bps.min() > 2e6  # what the application makes never waits for long
    assert outcome.queueing_p95_ms[0] < 10


class Transfers:
    """300 packets, which are all there at once, every two seconds."""

    size_bytes = 300.0 * MSS_BYTES

    def observe(self, state: object, step: int) -> None:
        """Not looked at."""

    def produce(self, step: int, backlog_bytes: np.ndarray) -> np.ndarray:
        return np.full(len(backlog_bytes), self.size_bytes if step % 2000 == 0 else 0.0)


@pytest.mark.parametrize("tier", ["persistence", "gcc"])
def test_a_transfer_after_a_pause_takes_little_longer_than_the_link_needs(tier: str) -> None:
    """What comes after a pause is no collapse of the link."""
    outcome = run(tier, constant(12e6, 10, 20, bdp=4), 0, Transfers())
    arrived = outcome.delivered_bytes[:, 0].cumsum()
    needed_ms = Transfers.size_bytes * 8e3 / 12e6
    for number in range(1, 5):
        ended_ms = np.searchsorted(arrived, (number + 1) * Transfers.size_bytes - 0.5)
        assert ended_ms - number * 2000 < 1.2 * needed_ms


@pytest.mark.parametrize("tier", ["persistence", "gcc"])
def test_bounds_the_queue_where_the_buffer_does_not(tier: str) -> None:
    outcome = run(tier, constant(12e6, 10, bdp=50), 2000)
    assert outcome.queueing_p95_ms[0] < 60
    assert outcome.loss_rate[0] == 0


def test_hold_keeps_its_first_rate() -> None:
    rates = run("hold", constant(12e6, 3), 200).pacing_rate_bps
    assert len(np.unique(rates)) == 1


def test_flows_do_not_influence_one_another() -> None:
    together, made = on_traces("gcc"), links()
    alone = run(
        "gcc", Links(made.capacity_bps[:8000, 1:2], made.rtt_ms[1:2], made.buffer_bytes[1:2])
    )
    np.testing.assert_allclose(alone.pacing_rate_bps[:, 0], together.pacing_rate_bps[:7000, 1])


def test_forget_starts_anew() -> None:
    made = constant(12e6, 2)
    tier = Gcc(PolicyContext(1))
    first = simulate(made, PolicyController(tier, 1))
    tier.forget([0])
    np.testing.assert_array_equal(
        simulate(made, PolicyController(tier, 1)).pacing_rate_bps, first.pacing_rate_bps
    )
