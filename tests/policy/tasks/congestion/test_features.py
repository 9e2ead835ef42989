from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy.tasks.congestion.features import CHANNELS, FIELD_INDEX, normalise
from policy.tasks.congestion.fields import FIELDS

pytestmark = pytest.mark.torch

RATE, RTT, MSS = 1e7, 5e7, 1448.0


def one_window(rate=RATE, rtt=RTT, mss=MSS):
    bdp = rate * rtt / 8e9
    values = {
        "duration_ns": 2 * rtt,
        "acks": 15.0,
        "delivery_rate_bps": rate / 2,
        "send_rate_bps": 2 * rate,
        "rtt_mean_ns": 2 * rtt,
        "rtt_min_ns": rtt,
        "rtt_gradient": 0.0,
        "srtt_ns": 4 * rtt,
        "queueing_delay_ns": 3 * rtt,
        "lost_bytes": 3 * mss,
        "loss_rate": 1 / 63,
        "inflight_bytes": bdp,
        "cwnd_bytes": 2 * bdp,
        "ack_spacing_ns": 2 * mss * 8e9 / rate,
        "app_limited_share": 0.25,
        "ecn_share": 0.5,
        "asked_rate_bps": rate,
        "action_log2": -0.5,
        "since_loss_ns": 15 * rtt,
        "bandwidth_bps": rate,
    }
    row = torch.zeros(1, 1, len(FIELDS), dtype=torch.float64)
    for name, value in values.items():
        row[0, 0, FIELD_INDEX[name]] = value
    return row


def features_of(row, rate=RATE, rtt=RTT, mss=MSS, valid=1.0):
    out = normalise(row, torch.tensor([[valid]]), *(torch.tensor([v]) for v in (rate, rtt, mss)))
    return dict(zip(CHANNELS, out[0, 0].tolist(), strict=True))


def test_known_window():
    features = features_of(one_window())
    expected = {
        "delivery": -0.5,  # half the rate: log2 = -1, halved
        "send": 0.5,
        "asked": 0.0,
        "rtt_mean": 0.5,
        "srtt": 1.0,
        "queueing": 1.0,  # log2(1 + 3) / 2
        "loss_rate": 0.5,  # log2(1 + 1) / 2
        "lost_packets": 0.5,  # log2(1 + 3) / 4
        "since_loss": 1.0,  # log2(16) / 4
        "ecn": 0.5,
        "inflight": 0.0,
        "cwnd": 0.5,
        "spacing": 0.5,
        "count": 1.0,
        "app_limited": 0.25,
        "window_rtts": 0.5,
        "action": -0.5,
    }
    for name, value in expected.items():
        assert features[name] == pytest.approx(value, abs=1e-5), name


@given(scale=st.floats(0.05, 20))
def test_rate_does_not_matter_by_itself(scale):
    mss = MSS * scale  # the packet count of the BDP is a feature, so packets scale too
    small = features_of(one_window())
    large = features_of(one_window(rate=RATE * scale, mss=mss), rate=RATE * scale, mss=mss)
    assert large == pytest.approx(small, abs=1e-4)


def test_absent_window_is_zero():
    assert set(features_of(one_window(), valid=0.0).values()) == {0.0}


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -float("inf"), -1.0, 0.0])
def test_junk_stays_finite_and_bounded(junk):
    row = torch.full((1, 1, len(FIELDS)), junk, dtype=torch.float64)
    values = features_of(row, rate=0.0, rtt=0.0, mss=0.0).values()
    assert all(abs(value) < 20 for value in values)


def test_never_lost_is_long_ago():
    row = one_window()
    row[0, 0, FIELD_INDEX["since_loss_ns"]] = float("inf")
    never = features_of(row)["since_loss"]
    row[0, 0, FIELD_INDEX["since_loss_ns"]] = -1
    assert features_of(row)["since_loss"] == never > features_of(one_window())["since_loss"]
