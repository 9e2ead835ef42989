"""The optimum in hindsight: against all plans, by brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.optimum import optimum
from policy.tasks.abr.play import play
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import Sessions, start
from policy.tasks.abr.video import Video

LADDER = np.array([300.0, 750.0, 1200.0])


def draw(seed: int, chunks: int, model: Model, kind: str = "linear", **arguments) -> Sessions:
    rng = np.random.default_rng(seed)
    sizes = LADDER * 500 * rng.uniform(0.7, 1.3, (chunks, 3))
    video = Video("test", 4000, LADDER, sizes)
    # Shorter than the video, so that sessions start the trace again.
    trace = Bandwidth("short", np.arange(13.0), rng.uniform(0.05, 1.5, 13))
    return start(video, pack([trace]), model=model, qoe=qoe_of(video, kind), **arguments)


def best_of_all(sessions: Sessions) -> float:
    """The greatest mean reward of any plan; all plans are played at a time."""
    plans = np.array(list(itertools.product(range(3), repeat=sessions.chunks_left)))
    played = sessions.take(np.zeros(len(plans), np.int64))
    total = sum(played.step(levels).reward for levels in plans.T)
    return float(total.max()) / plans.shape[1]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    model=st.sampled_from([Model.PENSIEVE, Model.SESSION]),
    kind=st.sampled_from(["linear", "log"]),
    cap_ms=st.sampled_from([60_000.0, 12_000.0]),
)
def test_no_plan_is_better(seed, model, kind, cap_ms):
    sessions = draw(seed, 7, model, kind, buffer_cap_ms=cap_ms)
    best = optimum(sessions, 1e-6)
    truth = best_of_all(sessions)
    assert best.reached[0] <= truth + 1e-9
    assert best.bound[0] >= truth - 1e-9
    # Only Pensieve's waits in whole steps leave a gap.
    if model == Model.SESSION or cap_ms > 30_000:
        assert best.bound[0] == pytest.approx(best.reached[0], abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), tolerance=st.sampled_from([0.05, 0.3]))
def test_a_tolerance_is_in_the_bound(seed, tolerance):
    sessions = draw(seed, 7, Model.SESSION, "log")
    best = optimum(sessions, tolerance)
    truth = best_of_all(sessions)
    assert best.reached[0] - 1e-9 <= truth <= best.bound[0] + 1e-9


def test_at_least_as_good_as_a_rule_and_sessions_stay_as_they_are():
    sessions = draw(1, 30, Model.PENSIEVE)
    best = optimum(sessions)
    assert sessions.chunk == 1
    assert best.levels.shape == (1, 29)
    assert best.reached[0] >= play(make_rule("robust-mpc"), sessions).qoe[0]


def test_what_has_no_optimum_is_refused():
    with pytest.raises(PolicyError, match="use pensieve or session"):
        optimum(draw(1, 5, Model.TCP))
    with pytest.raises(PolicyError, match="above 0"):
        optimum(draw(1, 5, Model.SESSION), 0.0)
