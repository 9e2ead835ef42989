from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from policy.model.errors import ModelError
from policy.tasks.congestion import schema
from policy.tasks.congestion.dataset import CongestionSamples
from policy.training.config import TrainConfig
from policy.training.trainer import learning_rate, predict, train_one

pytestmark = pytest.mark.torch

TINY = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 16,
}


def settings(**changes):
    model = {
        "backbone": {"architecture": TINY, "lora": {"rank": 0}},
        "control": {"hidden": 16, "layers": 1, "heads": 2},
        "encoder": {"channels": 8},
    } | changes.pop("model", {})
    defaults = {
        "max_steps": 60,
        "batch_size": 64,
        "evaluate_every": 20,
        "learning_rate": 3e-3,
        "warmup_steps": 10,
    }
    return TrainConfig.model_validate(defaults | changes | {"model": model})


@pytest.fixture
def splits(dataset):
    table = schema.read(dataset)

    def make(config):
        return [CongestionSamples(table, split, config.model) for split in ("train", "validation")]

    return make


def weights_of(model):
    return {name: value.detach().clone() for name, value in model.trained_parameters().items()}


def test_first_experiment_the_loss_falls_with_a_frozen_llm(splits, tmp_path):
    """Encoder and head alone learn through a frozen random backbone, whose weights stay as they
    were.
    """
    config = settings()
    losses = []
    model, progress = train_one(
        config, 0, *splits(config), tmp_path, on_progress=lambda p: losses.append(p.loss)
    )
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert progress.best_loss < 0.7 * np.mean(losses[:10])
    assert not model.training
    from policy.model.backbone import LlmBackbone

    assert model.backbone.fingerprint == LlmBackbone(config.model.backbone).fingerprint
    assert list((tmp_path / "logs").glob("events.*"))


@pytest.mark.parametrize("kind", ["gru", "mlp", "transformer"])
def test_controls_learn_too(splits, tmp_path, kind):
    config = settings(model={"kind": kind}, max_steps=40)
    losses = []
    train_one(config, 0, *splits(config), tmp_path, on_progress=lambda p: losses.append(p.loss))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_resumed_run_ends_where_an_uninterrupted_one_does(splits, tmp_path):
    whole = settings(
        model={"backbone": {"architecture": TINY, "lora": {"rank": 2}}},
        max_steps=20,
        evaluate_every=5,
    )
    train, validation = splits(whole)
    expected, _ = train_one(whole, 1, train, validation, tmp_path / "a")

    class Interrupt(Exception):  # noqa: N818
        pass

    def stop(progress):
        if progress.step == 12:  # the state of step 10 is the newest
            raise Interrupt

    with pytest.raises(Interrupt):
        train_one(whole, 1, train, validation, tmp_path / "b", on_progress=stop)
    resumed, progress = train_one(whole, 1, train, validation, tmp_path / "b")
    assert progress.step == 20
    for name, value in weights_of(resumed).items():
        torch.testing.assert_close(value, weights_of(expected)[name])
    assert len(list((tmp_path / "b" / "state").glob("*.safetensors"))) == 1


def test_finished_run_is_not_trained_again(splits, tmp_path):
    config = settings(max_steps=5, evaluate_every=5)
    train, validation = splits(config)
    first, _ = train_one(config, 0, train, validation, tmp_path)
    steps = []
    again, _ = train_one(config, 0, train, validation, tmp_path, on_progress=steps.append)
    assert steps == []
    torch.testing.assert_close(weights_of(first), weights_of(again))


def test_a_run_whose_time_is_up_stops_with_what_it_has(splits, tmp_path):
    config = settings(model={"kind": "mlp"}, max_seconds=1e-9)
    _, progress = train_one(config, 0, *splits(config), tmp_path)
    assert (progress.step, progress.best_step) == (1, 1)
    more = config.model_copy(update={"max_seconds": None, "max_steps": 60})
    _, progress = train_one(more, 0, *splits(more), tmp_path)
    assert progress.step == 60


def test_state_of_other_settings_is_refused(splits, tmp_path):
    config = settings(max_steps=5, evaluate_every=5)
    train_one(config, 0, *splits(config), tmp_path)
    changed = settings(max_steps=5, evaluate_every=5, learning_rate=1e-4)
    with pytest.raises(ModelError, match=r"other settings \(learning_rate\)"):
        train_one(changed, 0, *splits(changed), tmp_path)


def test_stops_early_and_returns_the_best(splits, tmp_path):
    # After its second evaluation this run only gets worse: the targets it trains on are inverted.
    config = settings(max_steps=200, evaluate_every=5, patience=2)
    train, validation = splits(config)
    train._action = -train._action
    model, progress = train_one(config, 0, train, validation, tmp_path)
    assert progress.step < 200
    assert progress.stale == 2
    assert progress.best_step == progress.step - 10
    from policy.training.trainer import validation_loss

    assert validation_loss(model, config, validation, torch.device("cpu")) == pytest.approx(
        progress.best_loss
    )


def test_small_passes_accumulate_to_the_same_step(splits, tmp_path):
    whole = settings(model={"kind": "mlp"}, max_steps=3, batch_size=64)
    parts = settings(model={"kind": "mlp"}, max_steps=3, batch_size=64, micro_batch=24)
    train, validation = splits(whole)
    one, _ = train_one(whole, 0, train, validation, tmp_path / "a")
    other, _ = train_one(parts, 0, train, validation, tmp_path / "b")
    torch.testing.assert_close(weights_of(one), weights_of(other), rtol=1e-3, atol=1e-4)


def test_diverged_loss_is_an_error(splits, tmp_path):
    config = settings()
    train, validation = splits(config)
    train._action = np.full_like(train._action, np.nan)
    with pytest.raises(ModelError, match="lower learning_rate"):
        train_one(config, 0, train, validation, tmp_path)


def test_prediction_has_no_dropout_and_no_memory(splits, tmp_path):
    config = settings(
        model={"backbone": {"architecture": TINY, "lora": {"rank": 2, "dropout": 0.5}}}, max_steps=2
    )
    train, validation = splits(config)
    model, _ = train_one(config, 0, train, validation, tmp_path)
    cpu = torch.device("cpu")
    indices = np.arange(40)
    first, _ = predict(model.train(), validation, indices, cpu)
    backwards, _ = predict(model.train(), validation, indices[::-1].copy(), cpu, batch=7)
    np.testing.assert_allclose(first, backwards[::-1], atol=1e-5)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine() -> None:
    config = settings(max_steps=100, learning_rate=1.0, warmup_steps=10, final_rate=0.2)
    assert learning_rate(config, 5) == pytest.approx(
        0.5 * (0.2 + 0.8 * (1 + math.cos(math.pi * 0.05)) / 2)
    )
    assert learning_rate(config, 50) == pytest.approx(0.6)
    assert learning_rate(config, 100) == pytest.approx(0.2)
    assert (
        learning_rate(settings(max_steps=100, learning_rate=1.0, warmup_steps=0, final_rate=1), 7)
        == 1
    )


def test_training_begins_with_a_checkpoint_s_weights(splits, tmp_path):
    from policy.model import checkpoint

    config = settings(model={"kind": "mlp"}, max_steps=5, evaluate_every=5)
    model, _ = train_one(config, 0, *splits(config), tmp_path / "a")
    checkpoint.save(tmp_path / "known", model, card="", training={}, serving=config.serving)
    asked = settings(
        model={"kind": "mlp", "encoder": {"channels": 8, "objective": True}},
        max_steps=1,
        learning_rate=1e-12,
        start=str(tmp_path / "known"),
    )
    begun, _ = train_one(asked, 1, *splits(asked), tmp_path / "b")
    for name, value in weights_of(model).items():
        torch.testing.assert_close(weights_of(begun)[name], value)
