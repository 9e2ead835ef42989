"""The rules: against brute force, hand-computed cases and published figures."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, find_bandwidths, pack
from policy.tasks.abr.network import Model
from policy.tasks.abr.play import play
from policy.tasks.abr.rules import RULES, make_rule
from policy.tasks.abr.rules.estimate import harmonic_mean_kbps
from policy.tasks.abr.rules.plan import best_first_levels
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video, read_video

FOLDER = Path(os.environ.get("TBTEST_ABR", Path(__file__).parents[5] / "shared" / "abr"))
needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no data in {FOLDER} (set TBTEST_ABR)")

LADDER = np.array([300.0, 750.0, 1200.0, 1850.0])


def ladder_video(chunks: int = 30, seed: int = 0) -> Video:
    noise = np.random.default_rng(seed).uniform(0.8, 1.2, (chunks, 1))
    return Video("test", 4000, LADDER, LADDER * 500 * noise)


def best_plan(kbps, buffer_ms, last, sizes, utility, before, stall_per_s):
    """The greatest QoE of any plan, by trying all of them, and the first levels that reach it."""
    values = {}
    for plan in itertools.product(range(sizes.shape[1]), repeat=len(sizes)):
        buffer, value, previous = buffer_ms, 0.0, before[last]
        for depth, level in enumerate(plan):
            download = sizes[depth, level] * 8 / kbps
            value += utility[depth, level] - abs(utility[depth, level] - previous)
            value -= stall_per_s * max(download - buffer, 0) / 1000
            buffer = max(buffer - download, 0) + 4000
            previous = utility[depth, level]
        values[plan] = value
    best = max(values.values())
    return {plan[0] for plan, value in values.items() if value > best - 1e-9}


@settings(max_examples=60, deadline=None)
@given(
    kbps=st.floats(50, 5000),
    buffer_ms=st.floats(0, 60_000),
    last=st.integers(0, 3),
    seed=st.integers(0, 1000),
    by_chunk=st.booleans(),
)
def test_the_plan_is_the_best_of_all_plans(kbps, buffer_ms, last, seed, by_chunk):
    rng = np.random.default_rng(seed)
    video = ladder_video(4, seed)
    utility = np.tile(LADDER / 1000, (4, 1))
    if by_chunk:  # as picture quality does, utility then changes from chunk to chunk
        utility = utility * rng.uniform(0.7, 1.3, (4, 1))
    chosen = np.zeros(1, np.int64)
    best_first_levels(
        np.array([kbps]),
        np.array([buffer_ms]),
        np.array([last]),
        video.sizes_bytes,
        utility,
        utility[0],
        1.85,
        1.0,
        4000.0,
        0.0,
        chosen,
    )
    assert chosen[0] in best_plan(
        kbps, buffer_ms, last, video.sizes_bytes, utility, utility[0], 1.85
    )


def test_harmonic_mean_leaves_out_what_is_missing():
    assert harmonic_mean_kbps(np.array([[0, 0, 100.0, 300.0], [0, 0, 0, 0]])).tolist() == [150, 0]


def steady(mbps: float) -> Bandwidth:
    return Bandwidth("steady", np.arange(1001.0), np.full(1001, mbps))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("model", list(Model))
def test_every_rule_plays_every_model(name, model):
    traces = pack([steady(0.2), steady(50.0)])
    played = play(make_rule(name), start(ladder_video(), traces, model=model))
    # Far too little: the lowest level mostly. Far more than enough: the top level mostly, no stall.
    assert played.bitrate_kbps[0] < 600
    assert played.bitrate_kbps[1] > 1200
    assert played.stall_s[1] == 0


def test_bba_reservoir_and_cushion():
    sessions = start(ladder_video(), pack([steady(2.0)] * 4))
    sessions.state.buffer_ms[:] = [4999, 5000, 10_000, 15_000]
    assert make_rule("bba").decide(sessions).tolist() == [0, 0, 1, 3]


def test_robust_mpc_divides_by_the_worst_error():
    sessions = start(ladder_video(), pack([steady(2.0)]))
    state = sessions.state
    sessions.chunk = 3
    state.size_bits[0, -3:] = [1e6, 2e6, 1e6]
    state.download_ms[0, -3:] = 1000
    # Predictions: 1000 for 2000 (error .5), harmonic 1333 for 1000 (error 1/3); next 3 / (1/1 +
    # 1/2 + 1/1) * 1000.
    assert make_rule("robust-mpc").predicted_kbps(sessions)[0] == pytest.approx(1200 / 1.5)
    assert make_rule("robust-mpc:prior_error=2").predicted_kbps(sessions)[0] == pytest.approx(
        1200 / 3
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bola:stable_s=9", "above 10"),
        ("best", "there are rate"),
        ("bba:horizon=3", "no option 'horizon'"),
        ("mpc:horizon=far", "must be a number"),
        ("mpc:horizon=99", "from 1 to 16"),
    ],
)
def test_unknown_rules_and_options_are_named(text, message):
    with pytest.raises(PolicyError, match=message):
        make_rule(text)


@needs_data
def test_bba_is_the_published_one():
    video = read_video(FOLDER / "videos" / "envivio.json").clipped(48)
    traces = pack(find_bandwidths(str(FOLDER / "traces" / "hsdpa-142")))
    assert play(make_rule("bba"), start(video, traces)).qoe.mean() == pytest.approx(0.639, abs=5e-4)


@needs_data
def test_bola_with_the_parameters_of_dash_js_is_the_published_one():
    video = read_video(FOLDER / "videos" / "envivio.json").clipped(48)
    traces = pack(find_bandwidths(str(FOLDER / "traces" / "hsdpa-142")))
    bola = make_rule("bola:stable_s=30,capped=0,by_size=1")
    assert play(bola, start(video, traces)).qoe.mean() == pytest.approx(0.818, abs=5e-4)
