"""The task as models of several tasks read it: padded ladders, scores, samples."""

from __future__ import annotations

import numpy as np
import pytest

from policy.errors import PolicyError
from policy.tasks.abr.layout import LEVELS, PER_LEVEL, SHARED
from policy.tasks.registry import learned_task

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def write(folder, values, seed=0):
    rng = np.random.default_rng(seed)
    n, levels = values.shape
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"sessions-{seed:03d}.npz",
        shared=rng.normal(size=(n, SHARED)),
        by_level=rng.normal(size=(n, levels, PER_LEVEL)),
        values=values,
    )


@pytest.fixture
def task():
    return learned_task("abr")


@pytest.fixture
def dataset(task, tmp_path):
    """Three states with two levels, two with four."""
    for side in ("train", "validation", "test"):
        write(tmp_path / side, np.array([[0.0, 1.0], [0.0, 3.0], [5.0, 4.0]]))
        write(tmp_path / side, np.array([[1.0, 2.0, 50.0, 0.0], [4.0, 3.0, 2.0, 1.0]]), seed=1)
    return task.dataset(tmp_path)


def config():
    from policy.model.config import ModelConfig

    return ModelConfig(task="abr", kind="gru")


def test_samples_have_the_regret_of_each_level(task, dataset):
    samples = dataset.samples("train", config())
    assert len(samples) == 5
    assert samples.families.tolist() == ["2 levels"] * 3 + ["4 levels"] * 2
    inputs, targets = samples.batch(np.arange(5))
    assert inputs["exists"].sum(axis=1).tolist() == [2, 2, 2, 4, 4]
    np.testing.assert_allclose(targets["regret_s"][0, :2], [1, 0])
    # What costs more than ten seconds of stall counts as ten.
    np.testing.assert_allclose(targets["regret_s"][3, :4], [10, 10, 0, 10])
    settings = task.loss_settings()
    # Level 0 costs 1, 3, 0, 10, 0 and level 1 costs 0, 0, 1, 10, 1.
    assert task.constant_loss(targets, settings) == pytest.approx(12 / 5)
    output = np.full((5, LEVELS), -np.inf, np.float32)
    output[:, 1] = 1
    measures = task.measures(output, targets)
    assert measures["regret_s"].tolist() == [0, 0, 1, 10, 1]
    assert measures["best"].tolist() == [1, 1, 0, 0, 0]


def test_sure_answers_cost_their_regret_and_open_ones_less_their_entropy(task, dataset):
    _, targets = dataset.samples("train", config()).batch(np.arange(3))
    tensors = {name: torch.from_numpy(value) for name, value in targets.items()}
    sure = torch.full((3, LEVELS), float("-inf"))
    sure[:, 1] = 0
    settings = task.loss_settings(entropy=0.5)
    assert float(task.loss(sure, tensors, settings)) == pytest.approx(1 / 3)
    unsure = sure.clone()
    unsure[:, 0] = 0
    expected = (0.5 + 1.5 + 0.5) / 3 - 0.5 * np.log(2)
    assert float(task.loss(unsure, tensors, settings)) == pytest.approx(expected)


def test_levels_that_do_not_exist_are_not_chosen_and_change_nothing(task, dataset):
    from policy.model.model import PolicyModel

    torch.manual_seed(0)
    model = PolicyModel(config()).eval()
    inputs, _ = dataset.samples("test", config()).batch(np.arange(3))
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    output = model(tensors)
    assert torch.isneginf(output[:, 2:]).all()
    assert torch.isfinite(output[:, :2]).all()
    tensors["by_level"][:, 2:] = 7.0
    torch.testing.assert_close(model(tensors)[:, :2], output[:, :2])


def test_what_is_wrong_with_a_dataset_is_told(task, tmp_path):
    with pytest.raises(PolicyError, match="holds no sessions"):
        task.dataset(tmp_path)
    write(tmp_path / "train", np.zeros((1, LEVELS + 1)))
    with pytest.raises(PolicyError, match="a ladder of 11 levels"):
        task.dataset(tmp_path)
    (tmp_path / "train" / "sessions-000.npz").write_bytes(b"no")
    with pytest.raises(PolicyError, match="not an archive"):
        task.dataset(tmp_path)


def test_the_folder_of_a_checkpoint_plays_and_serves(tmp_path):
    from policy.model import joint_checkpoint
    from policy.model.joint import JointModel
    from policy.model.joint_config import JointConfig
    from policy.server.levels import served
    from policy.tasks.abr.bandwidth import Bandwidth, pack
    from policy.tasks.abr.evaluate import make_policy
    from policy.tasks.abr.play import play
    from policy.tasks.abr.session import start
    from policy.tasks.abr.video import Video

    config = {"kind": "gru", "control": {"hidden": 8, "layers": 1}, "tasks": {"abr": None}}
    model = JointModel(JointConfig.model_validate(config))
    record = joint_checkpoint.TaskRecord(learned_task("abr").serving_settings())
    folder = tmp_path / "checkpoint"
    joint_checkpoint.save(folder, model, card="", training={}, tasks={"abr": record})
    rates = np.array([300.0, 900.0, 2000.0])
    video = Video("clip", 4000, rates, np.full((6, 3), rates * 500))
    traces = pack([Bandwidth("flat", np.array([0.0, 60.0]), np.array([2.0, 2.0]), "flat")])
    played = play(make_policy(str(folder)), start(video, traces))
    assert np.isfinite(played.qoe).all()
    assert rates.min() <= played.bitrate_kbps[0] <= rates.max()
    assert served(str(folder)) is not None
    long = Video("long", 4000, np.arange(1, 12) * 100.0, np.full((6, 11), 4e4))
    with pytest.raises(PolicyError, match="a ladder of 11 levels"):
        play(make_policy(str(folder)), start(long, traces))
