"""Which flows are difficult, and that they do not flap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from policy.api import FlowBatch
from policy.scheduler.rules import Reason, RuleScheduler
from policy.scheduler.thresholds import ApcConfig
from policy.tasks.congestion.fields import FIELDS, F

CONFIG = ApcConfig()
EASY = {
    "duration_ns": 100e6,
    "acks": 20.0,
    "rtt_mean_ns": 42e6,
    "delivery_rate_bps": 5e6,
    "inflight_bytes": 3e4,
}


def batch(*histories: list[dict[str, float]]) -> FlowBatch:
    """One flow per history; each entry of it changes an easy window."""
    w = CONFIG.trend_windows
    windows, valid = np.zeros((len(histories), w, len(FIELDS))), np.zeros((len(histories), w), bool)
    for flow, history in enumerate(histories):
        for age, changes in enumerate(reversed(history[-w:]), 1):
            for name, value in (EASY | changes).items():
                windows[flow, -age, F[name]] = value
            valid[flow, -age] = True
    n = len(histories)
    return FlowBatch(
        np.arange(n), windows, valid, np.full(n, 5e6), np.full(n, 40e6), np.full(n, 1448.0)
    )


def reasons(*history: dict[str, float]) -> Reason:
    return Reason(int(RuleScheduler(1, CONFIG).observe(batch(list(history)))[0]))


CALM: dict[str, float] = {}
AFTER_A_QUEUE = {"queueing_delay_ns": 35e6}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([CALM] * 5, Reason(0)),
        ([CALM] * 4 + [{"loss_rate": 0.2}], Reason.LOSS),
        ([CALM] * 4 + [{"queueing_delay_ns": 35e6}], Reason.QUEUEING_DELAY),
        ([{"rtt_mean_ns": 42e6 + 12e6 * k} for k in range(5)], Reason.RISING_DELAY),
        ([{"delivery_rate_bps": r} for r in (1e6, 9e6, 2e6, 8e6, 1e6)], Reason.VOLATILE_RATE),
        ([CALM] * 4 + [{"acks": 0.0}], Reason.OUTAGE),
        ([CALM] * 4 + [{"acks": 0.0, "inflight_bytes": 0.0}], Reason(0)),  # idle
        ([AFTER_A_QUEUE], Reason.QUEUEING_DELAY),
        ([AFTER_A_QUEUE, AFTER_A_QUEUE | {"acks": 0.0, "inflight_bytes": 0.0}], Reason(0)),
    ],
)
def test_each_rule(history: list[dict[str, float]], expected: Reason) -> None:
    assert reasons(*history) == expected


def test_a_varying_application_is_not_a_volatile_path() -> None:
    history = [
        {"delivery_rate_bps": r, "app_limited_share": 1.0} for r in (1e6, 9e6, 2e6, 8e6, 1e6)
    ]
    assert reasons(*history) == Reason(0)


def test_a_young_flow_is_judged_on_what_there_is() -> None:
    assert reasons({"loss_rate": 0.2}) == Reason.LOSS
    assert reasons({"delivery_rate_bps": 1e6}, {"delivery_rate_bps": 9e6}) == Reason(0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 80e6), min_size=1, max_size=60))
def test_hysteresis(delays: list[float]) -> None:
    """Once above the upper threshold, a flow is easy again only after so many windows below the
    lower one.
    """
    scheduler = RuleScheduler(1, CONFIG)
    upper = max(CONFIG.queueing_on * 40e6, CONFIG.queueing_floor_ms * 1e6)
    lower = max(CONFIG.queueing_off * 40e6, CONFIG.queueing_floor_ms * 0.5e6)
    difficult, calm = False, 0
    for delay in delays:
        calm = calm + 1 if delay <= lower else 0
        difficult = delay > upper or (difficult and calm < CONFIG.calm_windows)
        got = scheduler.observe(batch([{"queueing_delay_ns": delay}]))[0]
        assert bool(got & Reason.QUEUEING_DELAY) == difficult


def test_a_flow_on_the_edge_does_not_flap() -> None:
    scheduler = RuleScheduler(1, CONFIG)
    states = [
        bool(scheduler.observe(batch([{"queueing_delay_ns": d}]))[0]) for d in [31e6, 29e6] * 20
    ]  # upper threshold: 30 ms
    assert all(states)


def test_ended_flows_leave_no_state() -> None:
    scheduler = RuleScheduler(1, CONFIG)
    scheduler.observe(batch([{"loss_rate": 0.5}]))
    scheduler.forget([0])
    assert scheduler.observe(batch([CALM]))[0] == 0


def test_flows_do_not_influence_one_another() -> None:
    together = RuleScheduler(2, CONFIG).observe(batch([CALM] * 5, [{"loss_rate": 0.3}] * 5))
    assert together.tolist() == [0, int(Reason.LOSS)]


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="loss_off must not be above loss_on"):
        ApcConfig(loss_on=0.01, loss_off=0.02)


def test_thresholds_may_change_while_it_runs() -> None:
    scheduler = RuleScheduler(1, CONFIG)
    window = batch([CALM | {"loss_rate": 0.01}])
    assert scheduler.observe(window)[0] == 0
    strict = CONFIG.model_copy(update={"loss_on": 0.005, "loss_off": 0.001})
    scheduler.set_thresholds(strict)
    assert Reason(int(scheduler.observe(window)[0])) == Reason.LOSS
