from __future__ import annotations

import json

import pytest
import torch

from policy.model import checkpoint
from policy.model import info as checkpoints
from policy.model.errors import ModelError
from policy.model.model import PolicyModel

pytestmark = pytest.mark.torch


def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture
def saved(tiny, tmp_path):
    """Saves a model whose adapters are not at zero: (folder, model)."""

    def make(**changes):
        model = PolicyModel(tiny(**changes))
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value)
        folder = tmp_path / "checkpoint"
        checkpoint.save(folder, model, card="# card\n", training={"seed": 3}, target_return=0.5)
        return folder, model.eval()

    return make


@pytest.mark.parametrize("kind", ["nioka", "gru", "mlp", "transformer"])
def test_round_trip(saved, inputs, kind):
    folder, model = saved(kind=kind)
    loaded, info = checkpoint.load(folder)
    arrays = tensors(inputs(model.config, 3))
    torch.testing.assert_close(loaded(arrays), model(arrays))
    assert info.model == model.config
    assert info.training == {"seed": 3}
    assert info.target_return == 0.5
    assert info.size_bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_no_frozen_weights_and_nothing_beside(saved):
    folder, model = saved()
    assert {f.name for f in folder.iterdir()} == {
        "config.json",
        "README.md",
        "encoder.safetensors",
        "backbone.safetensors",
        "head.safetensors",
    }
    learned = sum(value.numel() for value in model.trained_parameters().values())
    assert sum(f.stat().st_size for f in folder.glob("*.safetensors")) < 4 * learned + 20_000
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_saving_replaces(saved):
    folder, _ = saved()
    saved(kind="gru")
    assert checkpoint.read_info(folder).model.kind == "gru"


def test_other_backbone_is_refused(saved):
    folder, _ = saved()
    record = json.loads((folder / "config.json").read_text())
    record["model"]["backbone"]["seed"] = 1
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="other weights here"):
        checkpoint.load(folder)


def test_damaged_or_missing_file_is_named(saved):
    folder, _ = saved()
    file = folder / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"head.safetensors is missing or damaged"):
        checkpoint.load(folder)
    file.unlink()
    with pytest.raises(ModelError, match=r"head.safetensors is missing or damaged"):
        checkpoint.read_info(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"fields": ["a"]}, "other fields than the task congestion"),
        ({"model": {"kind": "oracle"}}, "malformed"),
        ({"model": {"encoder": {"kernel": 10**6}}}, r"encoder\.kernel.*equal to 64"),
        ({"model": {"control": {"layers": 10**6}}}, r"control\.layers.*equal to 16"),
        ({"model": {"control": {"hidden": 2**70}}}, r"control\.hidden.*equal to 1024"),
        ({"files": None}, "malformed"),
        ({"serving": {"rate_gain": 99}}, r"serving\.rate_gain = 99"),
        ({"model": {"task": "./mine.py:Mine"}}, "no name of a task"),
        ({"files": {"../x": "0"}}, "missing or damaged"),
    ],
)
def test_bad_config_is_named(saved, change, message):
    folder, _ = saved()
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        checkpoint.load(folder)


def test_tensors_must_fit_the_configuration(saved):
    folder, _ = saved(kind="gru")
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record["model"]["control"]["hidden"] = 32
    path.write_text(json.dumps(record))
    with pytest.raises(ModelError, match="do not fit"):
        checkpoint.load(folder)


def test_not_a_checkpoint(tmp_path):
    with pytest.raises(ModelError, match="has no config"):
        checkpoint.read_info(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.read_info(tmp_path)


def test_resolve(saved, monkeypatch, tmp_path):
    folder, _ = saved()
    for task, name in (("cjs", "cjs/checkpoint"), ("several", "checkpoint")):
        monkeypatch.setattr(checkpoints, "BUNDLED", {task: tmp_path})
        assert checkpoints.bundled() == {name: folder}
    monkeypatch.setattr(checkpoints, "BUNDLED", {"congestion": tmp_path})
    assert checkpoints.bundled() == {"checkpoint": folder}
    assert checkpoints.resolve("checkpoint") == folder
    assert checkpoints.resolve(folder) == folder
    with pytest.raises(ModelError, match="bundled with this version: checkpoint"):
        checkpoints.resolve("llm")
