"""Merged adapters add up; what cannot be merged is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from policy.model import joint_checkpoint
from policy.model.errors import ModelError
from policy.model.joint import JointModel
from policy.model.joint_config import JointConfig
from policy.model.merge import merge
from policy.tasks import registry

pytestmark = pytest.mark.torch
TOY = Path(__file__).parents[2] / "tasks" / "toy.py"
TINY = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 16,
}


@pytest.fixture
def specialist(tmp_path):
    """Saves a model of one toy task whose adapters are not at zero."""
    for name in ("ToyTask", "SecondToyTask"):
        registry.learned_task(f"{TOY}:{name}")

    def make(task, kind="nioka", rank=2):
        backbone = {"architecture": TINY, "lora": {"rank": rank}}
        config = {"kind": kind, "backbone": backbone, "tasks": {task: None}}
        model = JointModel(JointConfig.model_validate(config))
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value)
        folder = tmp_path / f"{task}-{kind}-{rank}"
        record = joint_checkpoint.TaskRecord(registry.learned_task(task).serving_settings())
        joint_checkpoint.save(folder, model, card="", training={}, tasks={task: record})
        return folder

    return make


def weight_of(folder) -> torch.Tensor:
    model, _ = joint_checkpoint.load(folder)
    model.backbone.merge_adapters()
    return model.backbone.llm.layers[0].mlp.up_proj.weight.detach()


def bare() -> torch.Tensor:
    config = {"architecture": TINY, "lora": {"rank": 0}}
    model = JointModel(JointConfig.model_validate({"backbone": config, "tasks": {"toy": None}}))
    return model.backbone.llm.layers[0].mlp.up_proj.weight.detach()


def test_what_the_specialists_added_adds_up(specialist, tmp_path):
    folders = [specialist("toy"), specialist("second-toy")]
    merged = merge(folders, tmp_path / "merged", weight=0.25)
    added = [weight_of(folder) - bare() for folder in folders]
    torch.testing.assert_close(weight_of(merged) - bare(), 0.25 * (added[0] + added[1]))
    whole, infos = joint_checkpoint.load(merged)
    assert tuple(infos) == ("toy", "second-toy")
    own, _ = joint_checkpoint.load(folders[1])
    for name, value in own.heads["second-toy"].named_parameters():
        torch.testing.assert_close(value, whole.heads["second-toy"].get_parameter(name))


def test_what_cannot_be_merged_is_told(specialist, tmp_path):
    toy = specialist("toy")
    with pytest.raises(ModelError, match="occurs twice"):
        merge([toy, toy], tmp_path / "out")
    with pytest.raises(ModelError, match="not of one shape"):
        merge([toy, specialist("second-toy", rank=3)], tmp_path / "out")
    with pytest.raises(ModelError, match="one adapter each"):
        merge([specialist("second-toy", kind="gru")], tmp_path / "out")
