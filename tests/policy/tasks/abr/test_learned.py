"""Observation, labels, network and checkpoint, and one short training."""

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.abr.bandwidth import Bandwidth, pack
from policy.tasks.abr.labels import level_values
from policy.tasks.abr.rules import make_rule
from policy.tasks.abr.session import start
from policy.tasks.abr.video import Video

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from policy.registry import ABR_DEFAULT  # noqa: E402
from policy.tasks.abr import tensor_observation  # noqa: E402
from policy.tasks.abr.committee import Committee  # noqa: E402
from policy.tasks.abr.layout import UNPLANNED, WANDERINGS  # noqa: E402
from policy.tasks.abr.learned import Learned, load_net, load_policy, make_net, save_net  # noqa: E402
from policy.tasks.abr.observation import PER_LEVEL, SHARED, observe  # noqa: E402
from policy.tasks.abr.portable import load_portable  # noqa: E402
from policy.tasks.abr.training.leaks import refuse_shared, shared_recordings  # noqa: E402
from policy.tasks.abr.training.material import draw_video, evened, material_of, split  # noqa: E402
from policy.tasks.abr.training.ppo import PpoSettings, train_ppo  # noqa: E402
from policy.tasks.abr.training.rounds import Settings, collect, train  # noqa: E402

LADDER = np.array([300.0, 750.0, 1200.0])


def video(ladder: np.ndarray = LADDER, chunks: int = 12) -> Video:
    return Video("test", 4000, ladder, np.tile(ladder * 500, (chunks, 1)))


def stirred(net):
    """The network with something to correct: a fresh one scores by plans alone."""
    torch.nn.init.normal_(net.score[-1].weight)
    return net


def steady(mbps: float, name: str = "steady") -> Bandwidth:
    return Bandwidth(name, np.arange(301.0), np.full(301, mbps))


def test_values_are_those_of_playing_on():
    sessions = start(video(), pack([steady(0.8), steady(2.0)]))
    rule = make_rule("bba")
    values = level_values(sessions, rule)
    assert sessions.chunk == 1
    for level in range(3):
        played = sessions.take(np.arange(2))
        total = played.step(np.full(2, level)).reward
        while not played.done:
            total = total + played.step(rule.decide(played)).reward
        assert values[:, level] == pytest.approx(total / 1.2)
    assert level_values(sessions, rule, horizon=1)[1, 2] == pytest.approx((1.2 - 0.45) / 1.2)


def test_observation_has_no_units():
    """Twice the rates on a ladder of twice the bitrates looks the same."""
    one = start(video(), pack([steady(1.0)]), rtt_ms=0)
    two = start(video(LADDER * 2), pack([steady(2.0)]), rtt_ms=0)
    for first, second in zip(observe(one), observe(two), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert observe(one)[0].shape == (1, SHARED)
    assert observe(one)[1].shape == (1, 3, PER_LEVEL)


def test_the_shipped_network_and_what_it_sees_are_the_same_without_pytorch():
    rng = np.random.default_rng(4)
    ladder = np.array([300.0, 700.0, 1500.0, 4000.0])
    sizes = ladder * 500 * rng.uniform(0.5, 1.5, (9, 4))
    traces = [noisy(f"n{k}", k) for k in range(5)]
    sessions = start(Video("test", 4000, ladder, sizes), pack(traces))
    exported, network = load_portable(ABR_DEFAULT), load_policy(ABR_DEFAULT)
    while not sessions.done:
        for array, tensor in zip(
            observe(sessions), tensor_observation.observe(sessions), strict=True
        ):
            assert array.dtype == np.float32
            # What plans promise is a logarithm of small differences of float32.
            np.testing.assert_allclose(array, tensor.numpy(), atol=1e-3)
        with torch.inference_mode():
            expected = network.scores(sessions).numpy()
        np.testing.assert_allclose(exported.scores(sessions), expected, rtol=1e-5, atol=1e-4)
        sessions.step(rng.integers(0, 4, 5))


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_a_network_scores_any_ladder_and_survives_its_file(kind, tmp_path):
    net = stirred(make_net(kind, 16))
    save_net(net, tmp_path / "net.safetensors")
    again = Learned(load_net(tmp_path / "net.safetensors"))
    for ladder in (LADDER, np.array([100.0, 200, 400, 800, 1600])):
        sessions = start(video(ladder), pack([steady(1.0)]))
        assert again.decide(sessions).tolist() == Learned(net).decide(sessions).tolist()


def test_a_committee_scores_by_the_mean_of_its_members_and_survives_its_file(tmp_path):
    members = [stirred(make_net("mlp", 16)), stirred(make_net("gru", 8, planned=False))]
    path = tmp_path / "committee.safetensors"
    save_net(Committee(members), path)
    sessions = start(video(), pack([steady(1.0), steady(0.4)]))
    apart = [Learned(one).scores(sessions).log_softmax(dim=1) for one in members]
    assert torch.allclose(load_policy(path).scores(sessions), (apart[0] + apart[1]) / 2, atol=1e-6)
    with pytest.raises(PolicyError, match="no member"):
        Committee([make_net("mlp", 16, returns=True)])


def test_an_untrained_network_takes_the_best_plan_and_an_old_one_reads_none():
    rng = np.random.default_rng(2)
    sessions = start(video(), pack([noisy(f"n{k}", k) for k in range(4)]))
    old = stirred(make_net("mlp", 16, planned=False))
    while not sessions.done:
        shared, by_level = tensor_observation.observe(sessions)
        plan = by_level[:, :, UNPLANNED + len(WANDERINGS)]
        assert Learned(make_net("mlp", 16)).decide(sessions).tolist() == plan.argmax(1).tolist()
        assert torch.equal(old(shared, by_level), old(shared, by_level[:, :, :UNPLANNED]))
        sessions.step(rng.integers(0, 3, 4))


def test_an_evened_copy_carries_as_much_and_changes_less():
    one = noisy("n", 1, 600)
    copy = evened(one)
    assert copy.rates_mbps.mean() == pytest.approx(one.rates_mbps.mean(), rel=0.05)
    assert copy.rates_mbps.std() < one.rates_mbps.std() / 3
    assert copy.rates_mbps[100] == pytest.approx(one.rates_mbps[71:101].mean())


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(PolicyError, match="cannot be read as safetensors"):
        load_net(path)


def test_validation_shares_no_recording():
    traces = [steady(1.0, f"trace+viewer{k // 2}=_{k}") for k in range(20)]
    kept, held = split(traces)
    assert held
    assert not {one.recording for one in kept} & {one.recording for one in held}


TRACES = [steady(rate, f"t{i}") for i, rate in enumerate([0.4, 0.6, 1.0, 2.0, 3.0] * 2)]


def level_with_plenty(path):
    """What a checkpoint chooses with far more than the top level needs."""
    sessions = start(video(), pack([steady(8.0)]))
    sessions.step(np.array([2]))
    return load_policy(path).decide(sessions).tolist()


@pytest.mark.parametrize("objective", ["regret", "argmax", "return"])
def test_a_short_training_learns_to_take_what_the_link_carries(objective, tmp_path):
    settings = Settings(
        objective=objective,
        rounds=4,
        sessions=64,
        steps=100,
        batch=128,
        horizon=6,
        learning_rate=3e-3,
    )
    net = make_net("mlp", 16, returns=objective == "return")
    train(net, material_of(TRACES, [video()]), settings, tmp_path / "net.safetensors")
    assert level_with_plenty(tmp_path / "net.safetensors") == [2]


def test_who_plays_more_sessions_is_asked_no_more_often():
    class Counting:
        asked = 0

        def choose(self, sessions):
            self.asked += 1
            return torch.zeros(len(sessions), dtype=torch.long)

    player = Counting()
    (sessions,) = material_of(TRACES, [video()]).draw(8, np.random.default_rng(0))
    batch = collect(sessions, [player] * 3, None, Settings(explore=0.0, valued=1.0))
    assert player.asked * len(sessions) == len(batch.taken)
    assert not batch.taken.any()


@pytest.mark.parametrize("curriculum", [False, True])
def test_a_short_reinforcement_learns_it_too(curriculum, tmp_path):
    settings = PpoSettings(
        iterations=15, sessions=64, batch=128, learning_rate=3e-3, curriculum=curriculum
    )
    net = make_net("mlp", 16)
    train_ppo(net, material_of(TRACES, [video()]), settings, tmp_path / "net.safetensors")
    assert level_with_plenty(tmp_path / "net.safetensors") == [2]


def test_drawn_ladders_are_valid_and_differ():
    videos = [draw_video(np.random.default_rng(seed)) for seed in range(20)]
    assert len({one.levels for one in videos}) > 3
    assert all(one.chunks == 48 for one in videos)


def noisy(name: str, seed: int, seconds: int = 400) -> Bandwidth:
    rates = np.random.default_rng(seed).uniform(0.2, 4.0, seconds)
    return Bandwidth(name, np.arange(float(seconds)), rates)


def test_a_recording_of_the_test_set_is_not_trained_on():
    test = [noisy("held", 1)]
    slice_ = Bandwidth("renamed", np.arange(100.0), test[0].rates_mbps[50:150])
    # The same rates, a hundredth off, from 20 s on.
    rates = test[0].rates_mbps[20:] * np.random.default_rng(5).uniform(0.99, 1.01, 380)
    resampled = Bandwidth("resampled", np.arange(380.0), rates)
    assert shared_recordings([noisy("other", 2)], test) == []
    assert shared_recordings([slice_, resampled], test) == [
        ("renamed", "held"),
        ("resampled", "held"),
    ]
    with pytest.raises(PolicyError, match="2 training traces are of recordings"):
        refuse_shared([slice_, resampled], test)
