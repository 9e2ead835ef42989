"""Who fills the queue, worked out by hand: windows of 100 ms, minimum RTT 40 ms, a queue is short
below 25 ms.
"""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from policy.api import Actions, FlowBatch, PolicyContext
from policy.registry import create
from policy.tasks.congestion.competition import PACING_GAIN, Competition, Phase
from policy.tasks.congestion.competition_config import CompetitionConfig
from policy.tasks.congestion.fields import FIELDS, F
from policy.tasks.congestion.simulator import (
    Beside,
    Cubic,
    Links,
    PolicyController,
    shared,
    simulate,
)

CONFIG = CompetitionConfig(standing_ms=300, compete_ms=400, memory_ms=1e9)
MS = 1e6
FLOW = np.array([0])
MSS_BYTES = 1448.0
ASKED = Actions(np.array([1e5]), np.array([4.0]))


def window(queue_ms: float = 100, packets: float = 20, **changes: float) -> FlowBatch:
    """A window of a flow behind a queue of queue_ms, 1 Mbit/s delivered."""
    values = {
        "duration_ns": 100 * MS,
        "acks": 20.0,
        "rtt_min_ns": (40 + queue_ms) * MS,
        "srtt_ns": (40 + queue_ms) * MS,
        "queueing_delay_ns": queue_ms * MS,
        "delivery_rate_bps": 1e6,
        "inflight_bytes": packets * MSS_BYTES,
    } | changes
    rows = np.zeros((1, 1, len(FIELDS)))
    for name, value in values.items():
        rows[0, 0, F[name]] = value
    return FlowBatch(
        FLOW,
        rows,
        np.ones((1, 1), bool),
        np.array([1e6]),
        np.array([40 * MS]),
        np.array([MSS_BYTES]),
    )


def after(*windows: FlowBatch, config: CompetitionConfig = CONFIG) -> Competition:
    competition = Competition(1, config)
    for each in windows:
        competition.observe(each)
    return competition


def phase(*windows: FlowBatch, config: CompetitionConfig = CONFIG) -> Phase:
    return Phase(int(after(*windows, config=config).phase(FLOW)[0]))


# Standing for more than 300 ms takes four windows.
STANDING = [window()] * 4
# srtt 140 ms, at half rate 200 ms to empty 100 ms of queue, a window of 100 ms: after 440 ms, so in
# the fifth window.
STOOD = [*STANDING, *[window()] * 5]
LOST = window(lost_bytes=MSS_BYTES, duration_ns=150 * MS)
COMPETING = [*STOOD, LOST, LOST]
OFTEN = CONFIG.model_copy(
    update={"probe_share": 0.6}
)  # 440 ms of probing leave 400 ms between probes


def test_a_queue_that_stands_is_probed() -> None:
    assert phase(*STANDING[1:]) == Phase.CALM
    assert phase(*STANDING) == Phase.PROBE


def test_a_queue_that_was_short_once_is_not() -> None:
    assert phase(*STANDING[1:], window(10), *STANDING[1:]) == Phase.CALM


def test_neither_is_one_that_is_barely_long() -> None:
    assert phase(*[window(50)] * 20) == Phase.CALM  # 2.2 × 25 ms = 55 ms


def test_silence_says_nothing() -> None:
    assert phase(window(), *[window(acks=0.0)] * 20) == Phase.CALM


def test_a_probe_asks_for_half_of_what_is_delivered() -> None:
    given = after(*STANDING).applied(window(delivery_rate_bps=2e6), ASKED)
    assert given.pacing_rate_bps[0] == 1e6
    # What is delivered falls with it, but the probe not below a quarter of what was delivered at
    # its beginning.
    assert (
        after(*STANDING).applied(window(delivery_rate_bps=1e5), ASKED).pacing_rate_bps[0] == 0.25e6
    )


def test_a_tier_may_answer_with_numbers_of_any_kind() -> None:
    given = after(*STANDING).applied(window(), Actions(np.array([1e5], np.float32), np.array([4])))
    assert (given.pacing_rate_bps[0], given.cwnd_packets[0]) == (0.5e6, 4.0)


def test_a_queue_that_empties_was_the_flows_own() -> None:
    assert phase(*STANDING, *[window(60)] * 2, window(10)) == Phase.CALM


def test_a_false_alarm_doubles_the_patience() -> None:
    alarm = [*STANDING, window(10)]
    assert phase(*alarm, *[window()] * 6) == Phase.CALM  # 600 ms are not more than twice 300 ms
    assert phase(*alarm, *[window()] * 7) == Phase.PROBE
    impatient = CONFIG.model_copy(update={"patience": 0})
    assert phase(*alarm, *STANDING, config=impatient) == Phase.PROBE


def test_a_queue_that_stays_is_anothers() -> None:
    assert phase(*STOOD[:-1]) == Phase.PROBE
    assert phase(*STOOD) == Phase.GROW
    assert (after(*STOOD[:-1]).competing(), after(*STOOD).competing()) == (0, 1)


def test_it_begins_with_what_was_in_flight_before_the_squeeze_and_grows_by_half_per_rtt() -> None:
    squeezed = [window(packets=30), *[window(packets=4)] * (len(STOOD) - 1)]
    begun = after(*squeezed)
    assert begun.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(30)
    begun.observe(window(packets=30))
    given = begun.applied(window(), ASKED)
    cwnd = 30 * 1.5 ** (100 / 140)
    assert given.cwnd_packets[0] == pytest.approx(cwnd)
    assert given.pacing_rate_bps[0] == pytest.approx(PACING_GAIN * cwnd * MSS_BYTES * 8 / 0.140)


def test_a_cwnd_that_is_not_used_does_not_grow() -> None:
    begun = after(window(packets=30), *STOOD[1:], window(packets=10))
    assert begun.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(30)


def test_what_the_controller_asks_for_is_kept_if_it_is_more() -> None:
    more = Actions(np.array([1e9]), np.array([1e4]))
    given = after(*STOOD).applied(window(), more)
    assert (given.pacing_rate_bps[0], given.cwnd_packets[0]) == (1e9, 1e4)


def test_growth_in_vain_is_probed_and_growth_that_is_followed_goes_on() -> None:
    # 1.5^(100/140) per window: more than 1.6 in the second, and by then older than a round trip.
    assert phase(*STOOD, *[window(packets=40)] * 2) == Phase.PROBE
    assert phase(*STOOD, *[window(packets=40, delivery_rate_bps=1.3e6)] * 2) == Phase.GROW


def test_losses_cut_and_the_second_ends_growth() -> None:
    once = after(*STOOD, LOST)
    assert once.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(0.7 * 20)
    assert once.phase(FLOW)[0] == Phase.GROW
    once.observe(LOST)
    assert once.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(0.7 * 0.7 * 20)
    assert once.phase(FLOW)[0] == Phase.COMPETE


def test_competing_is_probed_now_and_then_and_goes_on_where_it_was() -> None:
    assert phase(*COMPETING, *[window()] * 4, config=OFTEN) == Phase.COMPETE
    assert phase(*COMPETING, *[window()] * 5, config=OFTEN) == Phase.PROBE
    assert phase(*COMPETING, *[window()] * 10, config=OFTEN) == Phase.COMPETE
    assert phase(*COMPETING, *[window()] * 6, window(10), config=OFTEN) == Phase.CALM
    # A fifth of the time at most: 4 x 440 ms between probes.
    assert phase(*COMPETING, *[window()] * 17) == Phase.COMPETE
    assert phase(*COMPETING, *[window()] * 18) == Phase.PROBE


def test_a_queue_that_stays_short_ends_it() -> None:
    empty = window(10, srtt_ns=50 * MS)
    assert phase(*COMPETING, *[empty] * 3) == Phase.COMPETE  # 300 ms, and not more
    assert phase(*COMPETING, *[empty] * 4) == Phase.CALM
    assert phase(*COMPETING, *[empty] * 3, window(), empty) == Phase.COMPETE
    assert phase(*STOOD, *[empty] * 4) == Phase.CALM  # while it grows, too


def test_cubics_clock_goes_on_during_a_probe() -> None:
    resumed = after(
        *COMPETING, *[window()] * 11, config=OFTEN
    )  # four, a probe of five, and two more
    cubic = 0.4 * (1.1 - np.cbrt(14 * 0.3 / 0.4)) ** 3 + 14
    assert resumed.phase(FLOW)[0] == Phase.COMPETE
    assert resumed.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(cubic)


def test_a_competing_flow_grows_as_cubic() -> None:
    competing = after(*COMPETING, window())
    # W_max 14 packets, K = cbrt(14 · 0.3 / 0.4) = 2.19 s: at 0.1 s 0.4 (0.1 - K)³ + 14, more than
    # Reno asks for.
    cubic = 0.4 * (0.1 - np.cbrt(14 * 0.3 / 0.4)) ** 3 + 14
    assert cubic > 9.8 + 0.53 / 1.4
    assert competing.applied(window(), ASKED).cwnd_packets[0] == pytest.approx(cubic)


def test_a_new_flow_of_the_same_number_starts_afresh_and_it_can_be_off() -> None:
    competition = after(*STANDING)
    competition.forget([0])
    assert competition.phase(FLOW)[0] == Phase.CALM
    assert phase(*STANDING, config=CompetitionConfig(enabled=False)) == Phase.CALM
    with pytest.raises(ValidationError):
        CompetitionConfig(probe_gain=1.0)


class Competing:
    """Gcc with competition, as the server puts them together."""

    name, history = "gcc", 1

    def __init__(self, flows: int, config: CompetitionConfig) -> None:
        self._tier, self._competition = (
            create("gcc", PolicyContext(flows)),
            Competition(flows, config),
        )

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        self._competition.observe(batch)
        return self._competition.applied(batch, self._tier.decide(batch, now_ns))

    def forget(self, flows: list[int]) -> None:
        raise AssertionError("no flow ends here")


def driver(enabled: bool) -> PolicyController:
    return PolicyController(Competing(1, CompetitionConfig(enabled=enabled)), 1)


def links(capacity_bps: float = 10e6, seconds: int = 20) -> Links:
    return Links(
        np.full((seconds * 1000, 1), capacity_bps),
        np.array([60]),
        np.array([4 * capacity_bps * 0.06 / 8]),
    )


def test_beside_cubic_a_flow_keeps_a_quarter() -> None:
    rate = {}
    for enabled in (False, True):
        both = Beside(driver(enabled), Cubic(1), np.array([0]), np.array([20_000]))
        rate[enabled] = simulate(shared(links()), both).throughput_bps[0]
    assert rate[True] > 2.5e6
    assert rate[False] < 0.5e6


def test_alone_nothing_changes_much() -> None:
    """Capacity of 8 and 2 Mbit/s in turn, 2 s each: the queue of every fall is the flow's own."""
    steps = links().capacity_bps * np.where(np.arange(20_000) // 2000 % 2, 0.2, 0.8)[:, None]
    outcome = [
        simulate(Links(steps, np.array([60]), np.array([300e3])), driver(on), 2000)
        for on in (False, True)
    ]
    assert outcome[1].utilisation[0] > outcome[0].utilisation[0] - 0.02
    assert outcome[1].queueing_p95_ms[0] < outcome[0].queueing_p95_ms[0] + 20
