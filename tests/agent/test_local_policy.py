"""The local policy on hand-made paths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.layout import RECORD, Flag
from agent.local_policy import LocalPolicy

MSS = 1000
SLOTS = np.array([0])


def record(
    at_s,
    delivered,
    *,
    lost=0,
    rtt_ms=40,
    srtt_ms=40,
    min_rtt_ms=40,
    inflight=10,
    app_limited=False,
):
    r = np.zeros(1, RECORD)
    r["at_ns"], r["delivered_bytes"], r["lost_bytes"] = at_s * 1e9, delivered, lost
    r["rtt_us"], r["srtt_us"], r["min_rtt_us"] = rtt_ms * 1000, srtt_ms * 1000, min_rtt_ms * 1000
    r["mss_bytes"], r["inflight_packets"] = MSS, inflight
    r["flags"] = Flag.APP_LIMITED if app_limited else 0
    return r


@pytest.fixture
def p():
    """A policy whose flow in slot 0 delivered 8 Mbit/s in its last window."""
    p = LocalPolicy(2)
    p.open(0, 10**9)
    p.observe(record(1.9, 900_000))
    p.commanded(SLOTS)
    p.observe(record(2.0, 1_000_000))
    p.commanded(SLOTS)
    return p


ONE_PACKET_A_ROUND_BPS = 8 * MSS / 0.040


def test_a_free_path_is_probed_above_what_it_delivers(p):
    p.observe(record(2.1, 1_100_000))  # 100 kB in 0.1 s: 8 Mbit/s
    rate, cwnd = p.decide(SLOTS)
    assert rate[0] == pytest.approx(1.25 * 8e6 + ONE_PACKET_A_ROUND_BPS)
    assert cwnd[0] == pytest.approx(2 * 1e6 * 0.040 / MSS)  # twice the BDP


def test_less_in_one_window_does_not_lower_the_rate(p):
    p.observe(record(2.1, 1_020_000))
    assert p.decide(SLOTS)[0][0] == pytest.approx(1.25 * 8e6 + ONE_PACKET_A_ROUND_BPS)


def test_a_path_that_delivers_less_for_ten_windows_is_slower(p):
    for window in range(1, 11):
        p.observe(record(2 + window / 10, 1_000_000 + 25_000 * window))
        rate, _ = p.decide(SLOTS)
    assert rate[0] == pytest.approx(1.25 * 2e6 + ONE_PACKET_A_ROUND_BPS)


def test_an_application_that_sends_less_keeps_its_rate(p):
    for window in range(1, 31):
        p.observe(record(2 + window / 10, 1_000_000 + 25_000 * window, app_limited=True))
        rate, _ = p.decide(SLOTS)
    assert rate[0] == pytest.approx(1.25 * 8e6 + ONE_PACKET_A_ROUND_BPS)


def test_jitter_is_no_congestion(p):
    p.observe(record(2.06, 1_060_000, rtt_ms=44))
    p.observe(record(2.1, 1_100_000, rtt_ms=140, srtt_ms=90))
    assert p.decide(SLOTS)[0][0] > 8e6


@pytest.mark.parametrize("trouble", [{"rtt_ms": 61}, {"rtt_ms": -1, "srtt_ms": 61}, {"lost": 3000}])
def test_congestion_falls_below_the_delivery_rate(p, trouble):
    p.observe(record(2.1, 1_050_000, **trouble))
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85 * 4e6)


def test_a_queue_is_judged_by_each_window_alone(p):
    p.observe(record(2.1, 1_100_000, rtt_ms=100))
    p.decide(SLOTS)
    p.observe(record(2.2, 1_200_000, rtt_ms=45))
    assert p.decide(SLOTS)[0][0] > 8e6


def test_silence_decays(p):
    before = p.decide(SLOTS)[0][0] - ONE_PACKET_A_ROUND_BPS
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85 * before + ONE_PACKET_A_ROUND_BPS)


def test_after_a_long_silence_a_flow_begins_with_an_eighth(p):
    for _ in range(60):  # 6 s without an ACK
        rate, cwnd = p.decide(SLOTS)
    assert rate[0] == pytest.approx(8e6 / 8)
    assert cwnd[0] == 4  # and not with more in flight than anybody may have
    p.observe(record(8.0, 1_002_000))  # the first two packets: 16 kbit in 6 s
    rate, _ = p.decide(SLOTS)
    assert rate[0] == pytest.approx(8e6 / 8 * 0.5 ** (6.0 / 10))
    # A queue or loss says that even this is too much.
    p.observe(record(8.1, 1_004_000, rtt_ms=900))
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85 * 160e3)


def test_an_idle_flow_keeps_its_rate(p):
    p.observe(record(2.1, 1_100_000, inflight=0))
    p.decide(SLOTS)
    assert p.decide(SLOTS)[0][0] == pytest.approx(1.25 * 8e6 + ONE_PACKET_A_ROUND_BPS)


def test_the_first_decision_starts_from_the_delivery_since_the_flow_opened():
    p = LocalPolicy(2)
    p.open(0, 10**9)
    p.observe(record(1.1, 100_000))
    assert p.decide(SLOTS)[0][0] == pytest.approx(1.25 * 8e6 + ONE_PACKET_A_ROUND_BPS)


def test_no_ack_no_command():
    p = LocalPolicy(2)
    p.open(0, 10**9)
    assert np.isnan(p.decide(SLOTS)[0]).all()


def test_a_reused_slot_remembers_nothing(p):
    p.open(0, 3 * 10**9)
    assert np.isnan(p.decide(SLOTS)[0]).all()


numbers = st.integers(0, 2**40)


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20)
)
def test_whatever_the_counters_say_rates_are_finite_and_positive(samples):
    p = LocalPolicy(2)
    p.open(0, 10**9)
    at_s, delivered, lost = 2.0, 1_000_000, 0
    for more, more_lost, srtt_ms, min_rtt_ms in samples:
        at_s, delivered, lost = at_s + 0.1, delivered + more, lost + more_lost
        p.observe(
            record(
                at_s, delivered, lost=lost, srtt_ms=srtt_ms // 1000, min_rtt_ms=min_rtt_ms // 1000
            )
        )
        rate, cwnd = p.decide(SLOTS)
        assert np.isfinite(rate).all()
        assert (rate >= 0).all()
        assert (cwnd >= 4).all()
