"""Who fills the queue, worked out by hand: windows of 100 ms, minimum RTT 40 ms."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from policy.competition import PACING_GAIN, Competition, CompetitionConfig
from policy.tiers import Actions, FlowBatch
from policy.windows import FIELDS, F

CONFIG = CompetitionConfig(enabled=True, evidence_ms=150, evidence_queue=0, compete_windows=4)
MS = 1e6
FLOW = np.array([0])
MSS_BYTES = 1448.0


def window(queue_ms: float, sent_share: float = 1.0, packets: float = 20, **changes: float) -> FlowBatch:
    """A flow that sends sent_share of what is delivered, behind a queue of queue_ms."""
    values = {
        "duration_ns": 100 * MS,
        "acks": 20.0,
        "rtt_min_ns": (40 + queue_ms) * MS,
        "srtt_ns": (40 + queue_ms) * MS,
        "queueing_delay_ns": queue_ms * MS,
        "delivery_rate_bps": 1e6,
        "send_rate_bps": sent_share * 1e6,
        "inflight_bytes": packets * MSS_BYTES,
    } | changes
    rows = np.zeros((1, 1, len(FIELDS)))
    for name, value in values.items():
        rows[0, 0, F[name]] = value
    return FlowBatch(
        FLOW, rows, np.ones((1, 1), bool), np.array([1e6]), np.array([40 * MS]), np.array([MSS_BYTES])
    )


def after(*windows: FlowBatch, config: CompetitionConfig = CONFIG) -> Competition:
    competition = Competition(1, config)
    for each in windows:
        competition.observe(each)
    return competition


def competes(*windows: FlowBatch) -> bool:
    return bool(after(*windows).competing(FLOW)[0])


def test_a_queue_that_does_not_fall_though_the_flow_sends_less_is_anothers() -> None:
    # Half of what is delivered: 50 ms less queue a window are due, and four windows of that are above 150 ms.
    standing = [window(100)] + [window(100, 0.5)] * 4
    assert competes(*standing)
    assert not competes(*standing[:-1])


def test_alone_the_queue_falls_by_what_was_not_sent() -> None:
    assert not competes(*(window(500 - 50 * k, 0.5) for k in range(9)))


def test_a_queue_that_the_flow_holds_itself_is_no_evidence() -> None:
    assert not competes(*[window(200)] * 50)


def test_an_empty_queue_ends_it_and_forgets() -> None:
    standing = [window(100)] + [window(100, 0.5)] * 4
    assert not competes(*standing, window(1))
    assert not competes(*standing[:-1], window(1), window(100), window(100, 0.5))


def test_silence_says_nothing() -> None:
    assert not competes(window(100), *[window(100, 0.0, acks=0.0)] * 20)


def test_it_yields_from_time_to_time() -> None:
    standing = [window(100)] + [window(100, 0.5)] * 4
    assert competes(*standing, *[window(100)] * 3)
    assert not competes(*standing, *[window(100)] * 4)


def test_at_least_what_aimd_would_ask_for() -> None:
    competition = after(*[window(60)] * 2, *[window(60, 0.5, packets=5)] * 4)
    asked = Actions(np.array([1e5]), np.array([4.0]))
    given = competition.applied(window(60), asked)
    # 20 packets in flight before the evidence began, and one window of one packet per RTT of 100 ms.
    assert given.cwnd_packets[0] == pytest.approx(21)
    assert given.pacing_rate_bps[0] == pytest.approx(PACING_GAIN * 21 * MSS_BYTES * 8 / 0.1)
    more = Actions(np.array([1e9]), np.array([1e4]))
    assert competition.applied(window(60), more).cwnd_packets[0] == 1e4


def test_loss_cuts_once_a_round_trip() -> None:
    standing = [window(60)] * 2 + [window(60, 0.5)] * 4
    nothing = Actions(np.array([1.0]), np.array([1.0]))
    once = after(*standing, window(60, lost_bytes=MSS_BYTES, duration_ns=60 * MS))
    assert once.applied(window(60), nothing).cwnd_packets[0] == pytest.approx(0.7 * 21)
    lost_again = window(60, lost_bytes=MSS_BYTES, duration_ns=60 * MS)
    once.observe(lost_again)
    assert once.applied(window(60), nothing).cwnd_packets[0] == pytest.approx(0.7 * 21 + 0.6)


def test_a_new_flow_of_the_same_number_starts_afresh_and_it_can_be_off() -> None:
    standing = [window(100)] + [window(100, 0.5)] * 4
    competition = after(*standing)
    competition.forget([0])
    assert not competition.competing(FLOW)[0]
    assert not after(*standing, config=CompetitionConfig(enabled=False)).competing(FLOW)[0]
    with pytest.raises(ValidationError):
        CompetitionConfig(decrease=1.0)
