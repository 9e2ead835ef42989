"""Tables of plans against plans that are tried one by one."""

import itertools

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.layout import PLANS, UNPLANNED, WANDERINGS
from policy.tasks.abr.observation import observe
from policy.tasks.abr.plan_table import BUFFERS, DISCOUNT, plan_table
from policy.tasks.abr.plans import PRIOR_ERROR, worst_error
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.rules.estimate import harmonic_mean_kbps, measured_kbps
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video

LADDER = np.array([300.0, 750.0, 1850.0])
CAP_MS = 60_000.0


def video(chunks: int, seed: int = 1) -> Video:
    factors = np.random.default_rng(seed).uniform(0.7, 1.4, (chunks, 1))
    return Video("test", 4000, LADDER, LADDER * 500 * factors)


def by_trying(one: Video, kbps: float, buffer: float, first: int) -> float:
    """What the best of all plans from chunk 1 on that begin with level `first` is worth."""
    qoe = qoe_of(one)
    best = -np.inf
    for later in itertools.product(range(one.levels), repeat=one.chunks - 2):
        worth, left, before = 0.0, buffer, first
        for ahead, level in enumerate((first, *later)):
            took = one.sizes_bytes[1 + ahead, level] * 8 / kbps / one.chunk_ms
            stall_s = max(took - left, 0.0) * one.chunk_ms / 1000
            utility = qoe.utility[1 + ahead] / qoe.stall_per_s
            earned = utility[level] - stall_s - abs(utility[level] - utility[before])
            worth += DISCOUNT**ahead * earned
            left, before = max(left - took, 0.0) + 1, level
        best = max(best, worth)
    return best


@pytest.mark.parametrize(("kbps", "square"), [(260.0, 12), (700.0, 15), (1500.0, 24)])
def test_values_for_a_steady_rate_are_those_of_the_best_plan(kbps, square):
    one = video(5)
    table = plan_table(one, qoe_of(one), CAP_MS)
    buffer = table.cap * (square / (BUFFERS - 1)) ** 2
    found = table.at(np, np.array([1]), np.array([kbps]), np.array([buffer]))[0, :, 0]
    tried = [by_trying(one, kbps, buffer, level) for level in range(one.levels)]
    # Rates and buffers between those of the table are interpolated.
    np.testing.assert_allclose(found, tried, atol=0.12)
    assert found.argmax() == np.argmax(tried)


def test_a_rate_that_wanders_promises_less_where_it_may_stall():
    one = video(12)
    values = plan_table(one, qoe_of(one), CAP_MS).at(
        np, np.array([1]), np.array([1850.0]), np.array([1.2])
    )
    top = values[0, -1]
    assert len(top) == len(WANDERINGS)
    assert (np.diff(top) < 0).all()


def test_tables_are_shared_by_content_and_long_videos_are_planned_in_parts():
    one, same = video(150), video(150)
    parts = [plan_table(one, qoe_of(one), CAP_MS, chunk) for chunk in (0, 63, 64, 149)]
    assert parts[0] is parts[1] is plan_table(same, qoe_of(same), CAP_MS)
    assert [part.first for part in parts] == [0, 0, 64, 128]
    assert [len(part.values) for part in parts] == [64, 64, 64, 22]
    whole = plan_table(one, qoe_of(one), CAP_MS, block=150)
    rows = (np.array([3]), np.array([700.0]), np.array([2.0]))
    behind = [
        found.max(axis=1) - found[:, 0] for found in (whole.at(np, *rows), parts[0].at(np, *rows))
    ]
    np.testing.assert_allclose(*behind, atol=0.02)


def test_a_way_to_wander_that_has_no_table_is_refused():
    with pytest.raises(PolicyError, match=r"wander 0.2 must be one of 0, 0.15, 0.35"):
        make_rule("fast-mpc:wander=.2")


def test_the_forecast_is_that_of_robust_mpc():
    rng = np.random.default_rng(3)
    traces = [Bandwidth(f"n{k}", np.arange(400.0), rng.uniform(0.3, 3.0, 400)) for k in range(6)]
    sessions = start(video(14), pack(traces))
    rule = make_rule(f"robust-mpc:prior_error={PRIOR_ERROR}")
    fast = make_rule("fast-mpc")
    while not sessions.done:
        kbps = measured_kbps(sessions.state)
        known = (kbps > 0).astype(float)
        worst = worst_error(np, known, np.maximum(kbps, 1e-3))
        np.testing.assert_allclose(
            harmonic_mean_kbps(kbps) / (1 + worst), rule.predicted_kbps(sessions)
        )
        promised = observe(sessions)[1][:, :, UNPLANNED:]
        assert promised.shape == (6, 3, PLANS)
        assert (promised.max(axis=1) == 0).all()
        # The rule takes the level that is promised most, where the next one is not as good.
        plan = promised[:, :, len(WANDERINGS)]
        clear = np.sort(plan, axis=1)[:, -2] < -0.01
        assert (fast.decide(sessions) == plan.argmax(axis=1))[clear].all()
        sessions.step(rng.integers(0, 3, 6))
