"""Two toy tasks learn together, are kept in one checkpoint, and are read from it apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from policy.errors import PolicyError
from policy.model import checkpoint, joint_checkpoint
from policy.model.errors import ModelError
from policy.model.info import read_info
from policy.tasks import registry
from policy.training.mixture.config import MixtureConfig, load_mixture_config
from policy.training.mixture.data import batch_sizes, open_datasets, shares_of, task_data
from policy.training.mixture.run import train
from policy.training.mixture.trainer import train_mixture

pytestmark = pytest.mark.torch
TOY = Path(__file__).parents[2] / "tasks" / "toy.py"
TASKS = ("toy", "second-toy")
TINY = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 16,
}
LLM = {"backbone": {"architecture": TINY, "lora": {"rank": 2}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("ToyTask", "SecondToyTask"):
        registry.learned_task(f"{TOY}:{name}")
    root = tmp_path_factory.mktemp("data")
    for name, count in zip(TASKS, (256, 64), strict=True):
        (root / name).mkdir()
        (root / name / "toy.json").write_text(json.dumps({"count": count}))
    return root


def settings(**changes) -> MixtureConfig:
    model = {
        "kind": "transformer",
        "control": {"hidden": 16, "layers": 1, "heads": 2},
        "tasks": dict.fromkeys(TASKS),
    } | changes.pop("model", {})
    usual = {
        "seeds": [0],
        "max_steps": 6,
        "batch_size": 32,
        "evaluate_every": 3,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
    }
    return MixtureConfig.model_validate(usual | changes | {"model": model})


def data_of(folder, config):
    opened = open_datasets(folder, config.model.tasks)
    return {name: task_data(opened[name], name, config) for name in config.model.tasks}


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def weights(model):
    return {name: value.detach().clone() for name, value in model.trained_parameters().items()}


def test_both_tasks_learn_in_one_model(folder, tmp_path):
    config = settings(max_steps=60, evaluate_every=60, learning_rate=1e-2)
    data = data_of(folder, config)
    model, progress = train_mixture(config, 0, data, tmp_path)
    assert progress.best_loss < 0.8  # of what a constant answer costs, in the mean over tasks
    own, other = (dict(model.heads[name].named_parameters()) for name in TASKS)
    assert not same(own, other)


def test_a_step_is_the_sum_of_both_tasks_scaled_losses(folder, tmp_path):
    config = settings(max_steps=1, evaluate_every=1)
    data = data_of(folder, config)
    losses = []
    train_mixture(config, 0, data, tmp_path, on_progress=lambda p: losses.append(p.loss))
    # Before anything is learned answers cost about what a constant one does: 1, not 1 a task.
    assert losses[0] == pytest.approx(1.0, abs=0.35)


def test_constant_loss_is_the_entropy_of_the_answers(folder):
    config = settings()
    data = data_of(folder, config)["toy"]
    _, targets = data.train.batch(np.arange(len(data.train)))
    share = np.bincount(targets["best"]) / len(targets["best"])
    assert data.constant_loss == pytest.approx(-sum(p * np.log(p) for p in share if p))


def test_shares_are_equal_or_as_the_root_of_the_samples(folder):
    equal, root = settings(), settings(shares="root")
    data = data_of(folder, equal)
    assert shares_of(data, equal) == {"toy": 0.5, "second-toy": 0.5}
    shares = shares_of(data, root)
    assert shares == pytest.approx({"toy": 2 / 3, "second-toy": 1 / 3})
    assert batch_sizes(shares, root) == {"toy": 43, "second-toy": 21}


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"kind": "nioka", **LLM},
        {"kind": "nioka", "backbone": {"architecture": TINY, "lora": {"rank": 0}}},
        {"kind": "nioka", "backbone": {"architecture": TINY, "lora": {"rank_per_task": 2}}},
        {"kind": "nioka", "backbone": {"architecture": TINY, "frozen": False, "lora": {"rank": 0}}},
    ],
)
def test_a_checkpoint_holds_every_task(folder, tmp_path, model):
    saved = train(folder, settings(model=model), tmp_path / "out")
    whole, infos = joint_checkpoint.load(saved)
    assert tuple(infos) == TASKS == read_info(saved).tasks
    inputs = {
        name: torch.from_numpy(value)
        for name, value in data_of(folder, settings())["toy"].test.batch(np.arange(9))[0].items()
    }
    outputs = []
    for name in TASKS:
        alone, info = checkpoint.load(saved, task=name)
        assert info.model.task == name
        outputs.append(alone(inputs))
        torch.testing.assert_close(whole.models[name](inputs), outputs[-1])
    assert not torch.equal(*outputs)
    card = (saved / "README.md").read_text()
    assert "## toy" in card
    assert "## second-toy" in card
    with pytest.raises(ModelError, match=r"'toy', 'second-toy'; 'abr' is wanted"):
        read_info(saved, "abr")


def test_one_engine_and_portable_files_answer_as_the_model(folder, tmp_path):
    pytest.importorskip("onnxruntime")
    from policy.model.export import export
    from policy.model.joint_policy import load_policies
    from policy.model.load import load_model

    saved = train(folder, settings(), tmp_path / "out")
    whole, _ = joint_checkpoint.load(saved)
    together = load_policies(saved, "cpu", "lean")
    assert [record.file for record in export(saved)] == [f"portable-{name}.onnx" for name in TASKS]
    card = (saved / "README.md").read_text()
    assert all(card.count(f"`portable-{name}.onnx`") == 1 for name in TASKS)
    samples = data_of(folder, settings())["toy"].test
    inputs, _ = samples.batch(np.arange(9))
    batch = registry.learned_task("toy").observation(1).make(**inputs)
    for name in TASKS:
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        expected = whole.models[name](tensors).argmax(dim=1).numpy()
        assert together[name].decide(batch, 0).candidate.tolist() == expected.tolist()
        alone = load_model(saved, "cpu", name)
        assert type(alone._engine).__name__ == "PortableEngine"
        assert alone.decide(batch, 0).candidate.tolist() == expected.tolist()


def test_the_engines_of_one_model_hold_its_weights_once(folder):
    from policy.model.joint import JointModel
    from policy.model.joint_policy import engines

    made = engines(JointModel(settings(model={"kind": "nioka", **LLM}).model), "cpu", "lean")
    decoders = {id(engine._runners[0]._module.decoder) for engine in made.values()}
    assert len(made) == 2
    assert len(decoders) == 1
    own = {"architecture": TINY, "lora": {"rank_per_task": 2}}
    with pytest.raises(ModelError, match="adapters of its own"):
        engines(JointModel(settings(model={"kind": "nioka", "backbone": own}).model), "cpu")


def test_resumed_run_ends_where_an_uninterrupted_one_does(folder, tmp_path):
    config = settings(model={"kind": "nioka", **LLM})
    data = data_of(folder, config)
    expected, _ = train_mixture(config, 1, data, tmp_path / "a")

    class Interrupt(Exception):  # noqa: N818
        pass

    def stop(progress):
        if progress.step == 5:  # the state of step 3 is the newest
            raise Interrupt

    with pytest.raises(Interrupt):
        train_mixture(config, 1, data, tmp_path / "b", on_progress=stop)
    resumed, progress = train_mixture(config, 1, data, tmp_path / "b")
    assert progress.step == 6
    torch.testing.assert_close(weights(resumed), weights(expected))


def test_training_begins_with_another_backbone_and_may_leave_it(folder, tmp_path):
    first = train(folder, settings(model={"tasks": {"toy": None}}), tmp_path / "first")
    config = settings(start=str(first), train_backbone=False, model={"tasks": {"second-toy": None}})
    second = train(folder, config, tmp_path / "second")
    before, after = (joint_checkpoint.load(one)[0].backbone for one in (first, second))
    assert same(*(dict(one.named_parameters()) for one in (before, after)))
    other = settings(start=str(first), model={"control": {"hidden": 8, "heads": 2}})
    with pytest.raises(ModelError, match="another backbone"):
        train_mixture(other, 0, data_of(folder, other), tmp_path / "third")


def test_command(folder, tmp_path):
    from testbed.cli.models import models
    from testbed.cli.train import train as command

    names = f"{TOY}:ToyTask,{TOY}:SecondToyTask"
    options = ["--tasks", names, "--model", "gru", "--out", str(tmp_path / "out")]
    for pair in ("max_steps=2", "seeds=[0]", "model.control.hidden=8", "model.tasks.toy.history=1"):
        options += ["--set", pair]
    run = CliRunner()
    shown = run.invoke(command, [str(folder), *options, "--dry-run"], catch_exceptions=False)
    assert "second-toy:" in shown.output
    assert not (tmp_path / "out").exists()
    done = run.invoke(command, [str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    listed = run.invoke(models, ["list", str(tmp_path / "out")], env={"COLUMNS": "300"})
    assert "toy, second-toy" in listed.output
    card = run.invoke(models, ["show", str(tmp_path / "out" / "checkpoint")])
    assert "One policy for toy, second-toy" in card.output


@pytest.mark.parametrize(
    ("tasks", "changes", "said"),
    [
        (["toy", "toy"], (), "name each task once"),
        (["toy"], ("model.tasks.second-toy.history=2",), "model.tasks.second-toy is none"),
        (["toy"], ("tasks.second-toy.loss={}",), "tasks.second-toy is none of model.tasks"),
        (["toy"], ("model.tasks.toy.encoder.width=none",), "tasks.toy.encoder.width"),
        (list(TASKS), ("model.kind=mlp",), "one length"),
        (["toy"], ("model.backbone.frozen=false",), "lora.rank"),
    ],
)
def test_what_does_not_fit_is_told(folder, tasks, changes, said):
    with pytest.raises(ModelError, match=said):
        load_mixture_config(tasks, None, tuple(changes))


def test_a_task_without_a_dataset_is_told(folder, tmp_path):
    with pytest.raises(PolicyError, match="no folder 'toy'"):
        train(tmp_path, settings(), tmp_path / "out")
