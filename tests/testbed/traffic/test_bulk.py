"""A bulk flow holds what its controller may send, and says when it did not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.bulk import limited_share
from testbed.traffic.stream import unsent_limit_bytes
from testbed.traffic.tcpinfo import TcpInfo
from testbed.units import NS_PER_MS

INFO = TcpInfo(
    srtt_ns=160 * NS_PER_MS,
    min_rtt_ns=160 * NS_PER_MS,
    cwnd_packets=10,
    pacing_rate_bps=math.nan,
    delivery_rate_bps=math.nan,
    app_limited=False,
    bytes_sent=0,
    bytes_retrans=0,
    bytes_acked=0,
    notsent_bytes=0,
    segs_out=0,
    total_retrans=0,
    lost=0,
    delivered=0,
    mss_bytes=1448,
    rto_ns=200 * NS_PER_MS,
)


def test_a_slow_flow_holds_256_kb() -> None:
    assert unsent_limit_bytes(INFO) == 256 * 1024
    assert unsent_limit_bytes(replace(INFO, srtt_ns=0)) == 256 * 1024


def test_a_fast_flow_holds_100_ms_of_what_it_may_send() -> None:
    # 720 Mbit/s are 9 MB in 100 ms, as pacing rate or as cwnd over the round trip.
    assert unsent_limit_bytes(replace(INFO, pacing_rate_bps=720e6)) == 9_000_000
    cwnd = round(720e6 / 8 * 0.16 / 1448)
    by_cwnd = unsent_limit_bytes(replace(INFO, cwnd_packets=cwnd))
    assert by_cwnd == pytest.approx(9_000_000, rel=1e-3)


@given(st.integers(0, 10**10), st.integers(1, 2**31), st.floats(0, 1e15))
def test_what_a_flow_holds_is_bounded(srtt_ns: int, cwnd: int, pacing_bps: float) -> None:
    info = replace(INFO, srtt_ns=srtt_ns, cwnd_packets=cwnd, pacing_rate_bps=pacing_bps)
    assert 256 * 1024 <= unsent_limit_bytes(info) <= 32 * 1024 * 1024


def samples(limited, cwnd=100, acked=10_000, count=100, srtt_ms=40):
    """``count`` samples, 20 ms apart."""
    return {
        "at_ns": np.arange(count) * 20 * NS_PER_MS,
        "srtt_ns": np.full(count, srtt_ms * NS_PER_MS),
        "cwnd_packets": np.broadcast_to(cwnd, count),
        "bytes_acked": np.broadcast_to(acked, count),
        "app_limited": np.asarray(limited),
    }


def test_the_share_is_that_of_samples_without_data() -> None:
    assert limited_share(samples(np.arange(100) < 30)) == 0.3
    assert limited_share(samples(np.zeros(100, bool))) == 0


def test_samples_before_the_first_acknowledgement_do_not_count() -> None:
    limited = np.arange(100) < 30
    assert limited_share(samples(limited, acked=np.where(limited, 1, 10_000))) == 0
    assert limited_share(samples(np.ones(100, bool), acked=0)) == 0


def test_what_bbr_marks_itself_does_not_count() -> None:
    """PROBE_RTT: 200 ms at four packets, then as long as the mark is in flight."""
    step = np.arange(100)
    probe = (step >= 40) & (step < 50)
    cwnd = np.where(probe, 4, 100)
    assert limited_share(samples((step >= 40) & (step < 53), cwnd)) == 0
    # Samples 40 to 53 are left out; of the 86 others 60 to 79 lack data.
    later = (step >= 60) & (step < 80)
    assert limited_share(samples(probe | later, cwnd)) == pytest.approx(20 / 86)
