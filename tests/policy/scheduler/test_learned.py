"""The learned scheduler: what it sees, what it predicts, and how many flows it calls."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.api import FlowBatch
from policy.errors import PolicyError
from policy.scheduler.base import Adapts, Load
from policy.scheduler.features import COUNT, NAMES, features, scores
from policy.scheduler.gauge import INTERVAL_NS
from policy.scheduler.learned import LearnedScheduler, read_network, shipped
from policy.scheduler.registry import create
from policy.scheduler.rules import Reason
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.tasks.congestion.fields import FIELDS, F

# The gain is what the flow's queueing delay is over its minimum RTT, less one.
QUEUEING = (np.eye(1, COUNT), np.zeros(1), np.ones(1), -1.0)


def batch(queueing: np.ndarray) -> FlowBatch:
    """Flows with 5 windows of so many minimum RTTs of queueing delay, at their estimate of 8
    Mbit/s.
    """
    n = len(queueing)
    windows = np.zeros((n, 5, len(FIELDS)))
    windows[:, :, F["queueing_delay_ns"]] = 4e7 * queueing[:, None]
    windows[:, :, F["rtt_mean_ns"]] = 4e7 * (1 + queueing[:, None])
    windows[:, :, F["delivery_rate_bps"]] = windows[:, :, F["asked_rate_bps"]] = 8e6
    windows[:, :, F["inflight_bytes"]] = 80_000
    windows[:, :, F["cwnd_bytes"]] = 20_000
    ones = np.ones(n)
    valid = np.ones((n, 5), bool)
    return FlowBatch(np.arange(n), windows, valid, ones * 8e6, ones * 4e7, ones * 1000)


def load(capacity_per_s: float, asked: int) -> Load:
    return Load(0, INTERVAL_NS, asked, asked, 0, capacity_per_s)


def test_features_are_what_their_names_say() -> None:
    one = batch(np.array([0.5]))
    one.windows[0, -1, F["queueing_delay_ns"]] = 4e7 * 1.5
    one.windows[0, -1, F["rtt_mean_ns"]] = 4e7 * 2.5
    one.windows[0, -1, F["loss_rate"]] = 0.1
    one.windows[0, -2:, F["delivery_rate_bps"]] = 4e6
    found = dict(zip(NAMES[:4], features(one)[0], strict=False))
    assert found["queueing delay over minimum RTT"] == pytest.approx(1.5)
    assert found["mean of it over 5 windows"] == pytest.approx((4 * 0.5 + 1.5) / 5)
    assert found["mean loss rate of 5 windows"] == pytest.approx(0.02)
    assert found["delivery rate over the estimate, octaves"] == pytest.approx(-1)
    rest = features(one)[0, 4:]
    # Mean 6.4 Mbit/s and deviation sqrt(0.6 x 0.4) x 4; the RTT grew by one minimum RTT; twice the
    # BDP of 40 kB is in flight, and half of it is the cwnd.
    assert rest[0] == pytest.approx(np.log2(6.4 / 8))
    assert rest[1] == pytest.approx(np.sqrt(0.24) * 4 / 6.4)
    assert rest[2:5].tolist() == pytest.approx([1, 1, -1])
    assert rest[5:].tolist() == pytest.approx([0, 0, np.log2(40)])


def test_windows_that_are_none_do_not_count() -> None:
    whole = batch(np.array([2.0]))
    valid = whole.valid.copy()
    valid[0, :-1] = False
    whole.windows[0, :-1, F["loss_rate"]] = 1.0
    found = features(replace(whole, valid=valid))[0]
    assert found[2] == 0
    assert found[5] == 0
    assert found[6] == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 16))
def test_the_loop_computes_the_network(seed: int, hidden: int) -> None:
    random = np.random.default_rng(seed)
    flows = batch(random.uniform(0, 4, 20))
    weight, bias, outer = (random.normal(size=shape) for shape in ((hidden, COUNT), hidden, hidden))
    wanted = np.maximum(features(flows) @ weight.T + bias, 0) @ outer + 0.5
    np.testing.assert_allclose(scores(flows, (weight, bias, outer, 0.5)), wanted, rtol=1e-9)


def test_flows_above_the_level_are_called_and_the_reasons_are_told() -> None:
    scheduler = LearnedScheduler(4, ApcConfig(), AdaptiveConfig(), QUEUEING)
    bits = scheduler.observe(batch(np.array([0.0, 0.9, 1.1, 3.0])))
    assert bits[:2].tolist() == [0, 0]  # though a rule holds for the second
    assert (bits[2:] & Reason.LEARNED > 0).all()
    assert bits[3] & Reason.QUEUEING_DELAY


@pytest.mark.parametrize("capacity_per_s", [20.0, 100.0, 10_000.0])
def test_no_more_is_asked_than_the_engine_answers(capacity_per_s: float) -> None:
    config = AdaptiveConfig()
    scheduler = LearnedScheduler(100, ApcConfig(), config, QUEUEING)
    flows = batch(np.linspace(0, 2, 100))  # half of them above zero gain
    for _ in range(20):
        asked = int(np.count_nonzero(scheduler.observe(flows)))
        scheduler.measured(load(capacity_per_s, asked))
    asked = int(np.count_nonzero(scheduler.observe(flows)))
    room = config.share * capacity_per_s * INTERVAL_NS / 1e9
    assert asked <= room + 1
    assert asked >= min(50, room) - 2


def test_its_state_survives_a_restart_and_nonsense_is_refused() -> None:
    before = LearnedScheduler(1, ApcConfig(), AdaptiveConfig(), QUEUEING)
    before.level = 0.25
    after = create("learned", 1, ApcConfig())
    assert isinstance(after, Adapts)
    after.restore(json.loads(json.dumps(before.state())))
    assert after.state()["level"] == 0.25
    for state in ({}, {"version": 1}, {"version": 1, "level": 7}, {"version": 1, "level": "x"}):
        with pytest.raises(ValueError, match=r"version|level"):
            after.restore(state)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ["x"]}, "other features"),
        ({"inner_bias": [1.0, 2.0]}, "shapes"),
        ({"inner_weight": [1.0]}, "shapes"),
        ({"outer_bias": float("nan")}, "not finite"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    good = {
        "names": list(NAMES),
        "inner_weight": np.eye(1, COUNT).tolist(),
        "inner_bias": [0.0],
        "outer_weight": [1.0],
        "outer_bias": 0.0,
    }
    assert read_network(good, "net.json")[3] == 0.0
    with pytest.raises(PolicyError, match=rf"net\.json: .*{words}"):
        read_network({**good, **changes}, "net.json")


def test_the_shipped_network_is_whole() -> None:
    assert shipped()[0].shape[1] == COUNT
