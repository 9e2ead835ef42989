"""What a path acknowledges at once, beyond what the bandwidth estimate lets expect."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policy.api import Actions
from policy.tasks.congestion import aggregation
from policy.tasks.congestion.aggregation import AGGREGATION, MOST_NS, extra_acked_bytes
from policy.tasks.congestion.cwnd import SPARE_PACKETS, with_room
from policy.tasks.congestion.fields import COUNTERS, ESTIMATE, LEVELS

BPS, MSS = 8e6, 1000.0  # a packet takes 1 ms
START_NS = 10**9


def told(
    at_ms: list[float],
    packets: list[int],
    *,
    bps: float = BPS,
    cwnd: float = 1e6,
    limited: bool = False,
) -> NDArray[np.float64]:
    """The extra bytes after each of a flow's records, which acknowledge so many packets each."""
    states, estimates = np.zeros(1, AGGREGATION), np.zeros(1, ESTIMATE)
    estimates["bps"] = bps
    counters = np.zeros((1, len(COUNTERS)), np.int64)
    levels = np.zeros((1, len(LEVELS)))
    levels[0, LEVELS.index("mss_bytes")], levels[0, LEVELS.index("cwnd_packets")] = MSS, cwnd
    levels[0, LEVELS.index("srtt_ns")] = 40e6
    flags, extra = np.array([limited]), []
    for ms, count in zip(at_ms, packets, strict=True):
        counters[0, COUNTERS.index("delivered_bytes")] += round(count * MSS)
        at_ns = np.array([START_NS + round(ms * 1e6)])
        aggregation.take(states, estimates, np.zeros(1, np.int64), at_ns, counters, levels, flags)
        extra.append(extra_acked_bytes(states)[0])
    return np.array(extra)


def test_bursts_of_so_many_milliseconds_need_room_for_what_is_sent_meanwhile() -> None:
    """50 packets at once every 50 ms, at a rate of a packet a millisecond."""
    extra = told([50.0 * k for k in range(40)], [50] * 40)
    assert extra[-1] == 50 * MSS
    # Coming again a packet at a time, they are forgotten.
    at_ms = [50.0 * k for k in range(20)] + [950.0 + k for k in range(1, 1200)]
    after = told(at_ms, [50] * 20 + [1] * 1199)
    assert after[19] == 50 * MSS
    assert after[-1] <= SPARE_PACKETS * MSS


def test_one_burst_is_none() -> None:
    at_ms = [float(k) for k in range(500)] + [550.0 + k for k in range(500)]
    assert told(at_ms, [1] * 500 + [51] + [1] * 499).max() <= SPARE_PACKETS * MSS


def test_bursts_of_an_application_are_none() -> None:
    assert told([50.0 * k for k in range(40)], [50] * 40, limited=True).max() == 0


def test_a_capacity_that_rises_is_no_burst() -> None:
    """Four packets a millisecond where one is expected, and no silence between."""
    extra = told([float(k) for k in range(200)], [4] * 200)
    assert extra[-1] <= SPARE_PACKETS * MSS


def test_a_silence_alone_is_no_burst() -> None:
    """After half a second without ACKs they come as fast as expected: an outage that has ended."""
    at_ms = [float(k) for k in range(100)] + [600.0 + k for k in range(200)]
    assert told(at_ms, [1] * 300)[-1] <= SPARE_PACKETS * MSS


@given(
    st.lists(st.tuples(st.floats(0, 400), st.integers(0, 500)), min_size=1, max_size=60),
    st.floats(1e4, 1e9),
    st.floats(1, 1000),
)
def test_it_is_bounded(acks: list[tuple[float, int]], bps: float, cwnd: float) -> None:
    """By cwnd, by what the estimate delivers in MOST_NS and in the longest silence, and by what was
    acknowledged.
    """
    at_ms = np.cumsum([gap for gap, _ in acks]).tolist()
    extra = told(at_ms, [count for _, count in acks], bps=bps, cwnd=cwnd)
    heard = [at for at, (_, count) in zip(at_ms, acks, strict=True) if count]
    silence_ns = max(np.diff(heard), default=0.0) * 1e6 + 1  # of rounding
    bounds = (
        cwnd * MSS, bps * MOST_NS / 8e9, bps * silence_ns / 8e9, sum(n for _, n in acks) * MSS
    )  # fmt: skip
    assert (extra >= 0).all()
    assert extra.max() <= min(bounds) * (1 + 1e-9) + 1e-6


@given(st.lists(st.integers(1, 2), min_size=2, max_size=200))
def test_steady_acks_of_a_packet_or_two_need_no_room(packets: list[int]) -> None:
    """What is sent as fast as expected and acknowledged at once fits the spare packets."""
    at_ms = np.cumsum([float(count) for count in packets]).tolist()
    assert told(at_ms, packets).max() <= 2 * MSS


def test_records_that_are_late_and_counters_that_fall_count_for_nothing() -> None:
    bursts = [50.0 * k for k in range(20)]
    extra = told([*bursts, 900.0, 951.0, 952.0], [50] * 20 + [50, -90, 2])
    assert extra[-4:].tolist() == [50 * MSS] * 4


def test_room_is_what_exceeds_the_spare_packets() -> None:
    asked = Actions(np.array([1e6, 1e6, 1e6]), np.array([20.0, 20.0, 20.0]))
    given_ = with_room(asked, np.array([0.0, 2000.0, 50_000.0]), np.array([1000.0, 1000.0, 1000.0]))
    assert given_.cwnd_packets.tolist() == [20.0, 20.0, 20.0 + 50 - SPARE_PACKETS]
    assert given_.pacing_rate_bps.tolist() == asked.pacing_rate_bps.tolist()
    assert with_room(asked, np.full(3, 1e6), np.zeros(3)).cwnd_packets.tolist() == [20.0] * 3
