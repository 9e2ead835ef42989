"""A task that nothing knows trains and serves: the seam between tasks and everything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from policy.api import PolicyContext
from policy.errors import PolicyError
from policy.tasks import registry
from policy.tasks.base import ActionSpec, ArraySpec, InputSpec

pytestmark = pytest.mark.torch
REFERENCE = f"{Path(__file__).with_name('toy.py')}:ToyTask"
BACKBONE = {
    "architecture": {
        "model_type": "qwen2",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 16,
    },
    "lora": {"rank": 4},
}


@pytest.fixture(scope="module")
def toy():
    """The module of the task, as the registry has loaded it."""
    import sys

    return sys.modules[type(registry.learned_task(REFERENCE)).__module__]


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> a checkpoint that the command has trained."""
    from testbed.cli.train import train

    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.json").write_text(json.dumps({"count": 1024}))
    folders = {}
    for kind in ("nioka", "mlp"):
        settings = {
            "model": {"backbone": BACKBONE, "control": {"hidden": 64}},
            "seeds": [0],
            "max_steps": 150,
            "batch_size": 64,
            "warmup_steps": 10,
            "learning_rate": 5e-3,
            "evaluate_every": 50,
            "serving": {"offset": 0},
        }
        (folder / "settings.yaml").write_text(json.dumps(settings))
        arguments = [str(folder), "--task", REFERENCE, "--model", kind]
        arguments += ["--config", str(folder / "settings.yaml"), "--out", str(folder / kind)]
        result = CliRunner().invoke(train, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        folders[kind] = folder / kind / "checkpoint"
    return folders


def test_it_learns_and_its_card_says_so(trained: dict[str, Path]) -> None:
    for folder in trained.values():
        card = (folder / "README.md").read_text()
        assert "- Task: toy" in card
        assert "cross-entropy of the best candidate" in card
        assert "| many | first |" in card
        record = json.loads((folder / "config.json").read_text())
        assert record["fields"] == ["x", "y"]
        assert record["serving"] == {"offset": 0}
        assert record["training"]["seeds"]["0"]["test"]["all"]["wrong"] < 0.25
        assert record["training"]["compared"]["first"]["all"]["wrong"] > 0.4


@pytest.mark.parametrize(("policy", "kind"), [("llm", "nioka"), ("mlp", "mlp")])
def test_it_is_served_in_a_process_of_its_own(toy, trained, policy: str, kind: str) -> None:
    from policy.model.load import load_policy
    from policy.worker.policy import WorkerPolicy

    choices = toy.draw(9, 11)
    here = load_policy(policy, trained[kind], "cpu", "toy").decide(choices, 0).candidate
    worker = WorkerPolicy(policy, PolicyContext(8, trained[kind], "cpu"), rows=4, task=REFERENCE)
    try:
        there = worker.decide(choices, 0)
    finally:
        worker.close()
    assert isinstance(there, toy.Chosen)
    np.testing.assert_array_equal(there.candidate, here)
    assert choices.exists[np.arange(11), here].all()
    assert (here == toy.best(choices)).mean() > 0.6
    assert worker.calm


def test_the_serving_settings_travel_with_the_checkpoint(toy, trained) -> None:
    from policy.model.load import load_policy

    choices = toy.draw(5, 6)
    before = load_policy("mlp", trained["mlp"], "cpu").decide(choices, 0).candidate
    path = trained["mlp"] / "config.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"serving": {"offset": 7}}))
    try:
        after = load_policy("mlp", trained["mlp"], "cpu").decide(choices, 0).candidate
    finally:
        path.write_text(text)
    np.testing.assert_array_equal(after, before + 7)


def test_tasks_share_one_backbone(toy) -> None:
    from policy.model.config import BackboneConfig, ModelConfig
    from policy.model.model import PolicyModel, build_backbone

    backbone = BackboneConfig.model_validate(BACKBONE)
    congestion = ModelConfig(backbone=backbone)
    shared = build_backbone(congestion)
    models = [
        PolicyModel(config, backbone=shared)
        for config in (congestion, ModelConfig(task="toy", backbone=backbone))
    ]
    adapters = [
        {id(value) for name, value in model.trained_parameters().items() if "lora_" in name}
        for model in models
    ]
    assert adapters[0] == adapters[1] != set()


def test_a_checkpoint_of_another_task_is_refused(trained) -> None:
    from policy.model.load import load_policy

    with pytest.raises(PolicyError, match="is for task 'toy'; 'congestion' is wanted"):
        load_policy("mlp", trained["mlp"], "cpu", "congestion")


def test_a_checkpoint_never_runs_a_file(trained, tmp_path: Path) -> None:
    from policy.model.checkpoint import read_info

    mark = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    record = json.loads((trained["mlp"] / "config.json").read_text())
    record["model"]["task"] = f"{tmp_path}/evil.py:Task"
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(PolicyError, match="no name of a task"):
        read_info(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("name", registry.names())
def test_every_task_says_what_it_is(name: str) -> None:
    made = registry.task(name)
    assert made.name == name
    assert made.about
    for verb in made.commands:
        assert made.command(verb) is not None


def test_specs_name_their_masks() -> None:
    with pytest.raises(ValueError, match="is no array of the spec"):
        InputSpec((ArraySpec("a", (3,), mask="b"),))
    with pytest.raises(ValueError, match="has another shape"):
        InputSpec((ArraySpec("a", (3,), mask="b"), ArraySpec("b", (2,))))
    with pytest.raises(ValueError, match="occur twice"):
        ActionSpec((ArraySpec("a"), ArraySpec("a")))


def test_a_batch_without_a_type_of_its_own_has_attributes() -> None:
    spec = InputSpec((ArraySpec("a", (3,)),))
    batch = spec.batch(spec.empty(4))
    assert len(batch) == 4
    assert batch.a.shape == (4, 3)
    with pytest.raises(AttributeError, match="no array 'b'"):
        _ = batch.b
