"""Thresholds that adapt: they follow load and worth, in bounded moves, and survive a restart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.api import FlowBatch
from policy.scheduler.adaptive import AdaptiveScheduler
from policy.scheduler.base import Adapts, Load
from policy.scheduler.gauge import INTERVAL_NS, LoadGauge
from policy.scheduler.rules import Reason, RuleScheduler
from policy.scheduler.thresholds import AdaptiveConfig, ApcConfig
from policy.scheduler.value import BINS, LOWEST, Value, bins
from policy.tasks.congestion.fields import FIELDS, F

SETTLED = AdaptiveConfig(explore=0.0)


def batch(difficulty: np.ndarray, rate_bps: float = 5e6) -> FlowBatch:
    """Flows whose queueing delay is so many octaves above its threshold of 30 ms."""
    n = len(difficulty)
    windows = np.zeros((n, 5, len(FIELDS)))
    windows[..., F["acks"]] = 10
    windows[:, :, F["queueing_delay_ns"]] = (30e6 * 2.0**difficulty)[:, None]
    windows[:, :, F["delivery_rate_bps"]] = rate_bps
    windows[:, :, F["app_limited_share"]] = 1.0
    ones = np.ones(n)
    return FlowBatch(np.arange(n), windows, np.ones((n, 5), bool), ones * 5e6, ones * 4e7, ones)


def load(capacity_per_s: float, asked: int = 0, admitted: int | None = None, late: int = 0) -> Load:
    return Load(
        0, INTERVAL_NS, asked, asked if admitted is None else admitted, late, capacity_per_s
    )


def settle(scheduler: AdaptiveScheduler, difficulty: np.ndarray, capacity_per_s: float) -> int:
    """Windows called difficult per interval, after ten seconds of the same."""
    asked = 0
    for _ in range(40):
        asked = int(np.count_nonzero(scheduler.observe(batch(difficulty))))
        scheduler.measured(load(capacity_per_s, asked))
    return asked


SPREAD = np.linspace(-2.9, 4.0, 70)


def test_no_outcomes_teach_nothing() -> None:
    value, none = Value(), np.empty(0, bool)
    value.add(np.empty(0, np.int64), none, none, np.empty(0))
    assert not value.count.any()


@settings(max_examples=12)
@given(st.floats(20, 400))
def test_no_more_is_asked_than_the_model_answers_and_hardly_less(capacity_per_s: float) -> None:
    scheduler = AdaptiveScheduler(70, ApcConfig(), SETTLED)
    asked_per_s = settle(scheduler, SPREAD, capacity_per_s) * 4
    room = SETTLED.share * capacity_per_s
    per_octave = 40.0  # windows a second of one octave; five octaves are above the lowest level
    slack = per_octave * (SETTLED.deadband + 0.5)
    assert asked_per_s <= max(room, per_octave) + slack
    assert asked_per_s >= min(room, 3 * per_octave) - slack


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1000), min_size=1, max_size=30))
def test_moves_and_levels_are_bounded(capacities: list[float]) -> None:
    config = SETTLED
    scheduler = AdaptiveScheduler(70, ApcConfig(), config)
    for capacity_per_s in capacities:
        before = scheduler.level
        asked = int(np.count_nonzero(scheduler.observe(batch(SPREAD))))
        scheduler.measured(load(capacity_per_s, asked, admitted=asked // 2, late=asked // 8))
        assert -config.fall - 1e-9 <= scheduler.level - before <= config.rise + 1e-9
        assert config.lowest <= scheduler.level <= config.highest


def test_under_a_steady_load_the_level_comes_to_rest() -> None:
    scheduler = AdaptiveScheduler(70, ApcConfig(), SETTLED)
    settle(scheduler, SPREAD, 100.0)
    levels = set()
    for _ in range(40):
        asked = int(np.count_nonzero(scheduler.observe(batch(SPREAD))))
        scheduler.measured(load(100.0, asked))
        levels.add(scheduler.level)
    assert len(levels) == 1


def test_refused_and_late_windows_make_it_ask_for_less() -> None:
    asked = []
    for share in (1.0, 0.5):
        scheduler = AdaptiveScheduler(70, ApcConfig(), SETTLED)
        count = 0
        for _ in range(40):
            count = int(np.count_nonzero(scheduler.observe(batch(SPREAD))))
            scheduler.measured(load(150.0, count, admitted=int(count * share)))
        asked.append(count)
    assert asked[1] < asked[0]


def test_where_the_model_does_harm_the_rule_policy_decides() -> None:
    scheduler = AdaptiveScheduler(70, ApcConfig(), SETTLED)
    hard = np.full(70, 1.5)
    by_model = np.arange(70) % 2 == 0
    for window in range(60):
        # The model halves the rate of every other window that follows its answers.
        rate = 5e6 if window % 2 else 2.5e6
        windows = batch(hard)
        windows.windows[:, -1, F["delivery_rate_bps"]] = np.where(by_model, rate, 5e6)
        if window:
            scheduler.feedback(windows, by_model & (window % 2 == 0))
        reasons = scheduler.observe(windows)
        scheduler.measured(load(1e4, 70))
    assert not reasons.any()
    assert scheduler.observe(batch(np.full(70, 3.5))).all()


def test_what_was_learnt_survives_a_restart() -> None:
    scheduler = AdaptiveScheduler(70, ApcConfig(), SETTLED)
    scheduler.value.add(
        np.full(100, 4), np.zeros(100, bool), np.arange(100) % 2 == 0, np.linspace(-1, 1, 100)
    )
    settle(scheduler, SPREAD, 50.0)
    assert scheduler.level != 0
    again = AdaptiveScheduler(70, ApcConfig(), SETTLED)
    again.restore(json.loads(json.dumps(scheduler.state())))
    assert again.level == scheduler.level
    assert again.state() == scheduler.state()
    assert (again.observe(batch(SPREAD)) > 0).sum() < 70


@pytest.mark.parametrize(
    "spoilt",
    [
        {"version": 9},
        {"level": 99},
        {"level": "high"},
        {"value": None},
        {"value": {"count": [1]}},
        {"value": Value().state() | {"mean": [[["x"]]]}},
        {"value": Value().state() | {"count": (np.full((2, 2, BINS), -1.0)).tolist()}},
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(spoilt: dict[str, object]) -> None:
    scheduler = AdaptiveScheduler(4, ApcConfig(), SETTLED)
    before = scheduler.state()
    with pytest.raises(ValueError, match=r"\S"):
        scheduler.restore(before | spoilt)
    assert scheduler.state() == before


def test_exploring_decides_a_few_windows_the_other_way_round() -> None:
    scheduler = AdaptiveScheduler(70, ApcConfig(), AdaptiveConfig(explore=0.5))
    reasons = np.stack([scheduler.observe(batch(np.full(70, -2.9))) for _ in range(20)])
    assert set(np.unique(reasons)) == {0, Reason.EXPLORED}


def test_the_gain_is_that_of_answers_that_began_alike() -> None:
    value, many = Value(), 400
    bin_ = np.full(many, 3)
    for before in (False, True):
        by_model = np.arange(many) % 2 == 0
        # After the model the level is half an octave higher, so to go on there changes nothing.
        outcome = 0.5 * by_model - 0.5 * before
        value.add(bin_, np.full(many, before), by_model, outcome)
    gain, error = value.gain()
    assert gain[3] == pytest.approx(0.5)
    assert error[3] < 0.01
    assert np.isinf(error[[0, 1, 2, 4]]).all()


@given(st.lists(st.floats(-20, 20), min_size=1))
def test_bins_hold_an_octave_each(difficulty: list[float]) -> None:
    places = bins(np.array(difficulty))
    for value, place in zip(difficulty, places.tolist(), strict=True):
        if LOWEST <= value < LOWEST + BINS:
            assert place == int(np.floor(value)) - LOWEST
    assert ((places >= 0) & (places < BINS)).all()


def test_difficulty_is_the_largest_measure_over_its_threshold() -> None:
    rules = RuleScheduler(3, ApcConfig())
    wanted = np.array([-1.0, 0.5, 2.0])
    rules.observe(batch(wanted))
    np.testing.assert_allclose(rules.difficulty, wanted)


def test_the_gauge_counts_an_interval() -> None:
    gauge = LoadGauge()
    assert not gauge.due(5)
    gauge.scheduled(10, 7)
    gauge.scheduled(5, 5)
    gauge.late(2)
    assert gauge.due(5 + INTERVAL_NS)
    assert gauge.read(5 + INTERVAL_NS, 30.0) == Load(5 + INTERVAL_NS, INTERVAL_NS, 15, 12, 2, 30.0)
    assert not gauge.due(6 + INTERVAL_NS)
    assert gauge.read(5 + 2 * INTERVAL_NS, 1.0).candidates == 0


def test_it_adapts() -> None:
    assert isinstance(AdaptiveScheduler(1, ApcConfig(), SETTLED), Adapts)
    assert not isinstance(RuleScheduler(1, ApcConfig()), Adapts)
