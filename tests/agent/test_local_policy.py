"""The local policy on hand-made paths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.layout import RECORD
from agent.local_policy import LocalPolicy

MSS = 1000
SLOTS = np.array([0])


def record(at_s, delivered, *, lost=0, srtt_ms=40, min_rtt_ms=40, pacing_bps=8e6, slot=0):
    r = np.zeros(1, RECORD)
    r["slot"], r["at_ns"], r["delivered_bytes"], r["lost_bytes"] = slot, at_s * 1e9, delivered, lost
    r["srtt_us"], r["min_rtt_us"], r["mss_bytes"] = srtt_ms * 1000, min_rtt_ms * 1000, MSS
    r["pacing_rate_Bps"] = pacing_bps / 8
    return r


def policy(rate_bps):
    p = LocalPolicy(2)
    p.open(0, 10**9)
    p.observe(record(2.0, 1_000_000))
    p.commanded(SLOTS, np.array([rate_bps]))
    return p


def test_a_free_path_grows_by_five_percent():
    p = policy(8e6)
    p.observe(record(2.1, 1_100_000))  # 100 kB in 0.1 s: 8 Mbit/s
    rate, cwnd = p.decide(SLOTS)
    assert rate[0] == pytest.approx(1.05 * 8e6)
    assert cwnd[0] == pytest.approx(2 * 1.05 * 1e6 * 0.040 / MSS)  # twice the BDP


def test_growth_never_leaves_what_is_delivered_behind():
    p = policy(80e6)
    p.observe(record(2.1, 1_100_000))
    rate, _ = p.decide(SLOTS)
    assert rate[0] == pytest.approx(1.5 * 8e6 + 8 * MSS / 0.040)  # and one packet a round trip


@pytest.mark.parametrize("trouble", [{"srtt_ms": 60}, {"lost": 3000}])
def test_congestion_falls_below_the_delivery_rate(trouble):
    p = policy(16e6)
    p.observe(record(2.1, 1_100_000, **trouble))
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85 * 8e6)


def test_silence_decays():
    p = policy(8e6)
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85 * 8e6)
    assert p.decide(SLOTS)[0][0] == pytest.approx(0.85**2 * 8e6)


def test_the_first_decision_starts_from_the_delivery_since_the_flow_opened():
    p = LocalPolicy(2)
    p.open(0, 10**9)
    p.observe(record(1.1, 100_000, pacing_bps=400e6))  # the kernel's start-up rate says nothing yet
    assert p.decide(SLOTS)[0][0] == pytest.approx(1.5 * 8e6 + 8 * MSS / 0.040)


def test_no_ack_no_command():
    p = LocalPolicy(2)
    p.open(0, 10**9)
    assert np.isnan(p.decide(SLOTS)[0]).all()


def test_a_reused_slot_remembers_nothing():
    p = policy(8e6)
    p.open(0, 3 * 10**9)
    assert np.isnan(p.decide(SLOTS)[0]).all()


numbers = st.integers(0, 2**40)


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20)
)
def test_whatever_the_counters_say_rates_are_finite_and_positive(samples):
    p = policy(8e6)
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
