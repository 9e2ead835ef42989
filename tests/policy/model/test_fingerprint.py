"""A backbone of which a part is other than it was is another backbone."""

import json

import pytest
import torch

from policy.model import checkpoint
from policy.model.backbone import LlmBackbone
from policy.model.config import BackboneConfig
from policy.model.errors import ModelError
from policy.model.fingerprint import WHOLE, digest
from policy.model.model import PolicyModel
from policy.model.renew import main

pytestmark = pytest.mark.torch

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,  # matrices of 8192 values
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 16,
}


@pytest.fixture
def stored(tiny, tmp_path):
    """(checkpoint folder, backbone folder, its language model)."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    llm = LlamaModel(LlamaConfig(**SHAPE))
    llm.save_pretrained(tmp_path / "backbone")
    model = PolicyModel(tiny(backbone={"architecture": None, "id": str(tmp_path / "backbone")}))
    checkpoint.save(tmp_path / "checkpoint", model, card="", training={})
    return tmp_path / "checkpoint", tmp_path / "backbone", llm


def test_a_scrambled_backbone_is_refused(stored):
    folder, backbone, llm = stored
    checkpoint.load(folder)
    with torch.no_grad():
        llm.layers[0].mlp.up_proj.weight.view(-1)[2048:].normal_()
    llm.save_pretrained(backbone)
    with pytest.raises(ModelError, match="other weights here"):
        checkpoint.load(folder)


def test_one_value_suffices(stored):
    _, backbone, llm = stored
    config = BackboneConfig(id=str(backbone))
    before = LlmBackbone(config).fingerprint
    with torch.no_grad():
        llm.layers[0].mlp.up_proj.weight.view(-1)[-1] += 1
    llm.save_pretrained(backbone)
    assert before.startswith(WHOLE)
    assert LlmBackbone(config).fingerprint != before


@pytest.fixture
def earlier(stored):
    """The same with the fingerprint that earlier versions wrote."""
    folder, backbone, _ = stored
    bare = LlmBackbone(BackboneConfig(id=str(backbone), lora={"rank": 0}))
    path = folder / "config.json"
    old = {"backbone_fingerprint": digest(bare.llm, 2048)}
    path.write_text(json.dumps(json.loads(path.read_text()) | old))
    return stored


def test_an_earlier_fingerprint_is_renewed_by_the_command_that_the_error_names(earlier):
    folder, _, _ = earlier
    with pytest.raises(ModelError, match=r"python -m policy\.model\.renew"):
        checkpoint.load(folder)
    assert main([str(folder)]) == 0
    checkpoint.load(folder)


def test_it_is_not_renewed_on_another_backbone(earlier, capsys):
    folder, backbone, llm = earlier
    with torch.no_grad():
        llm.layers[0].mlp.up_proj.weight.normal_()
    llm.save_pretrained(backbone)
    assert main([str(folder)]) == 2
    assert "other weights here" in capsys.readouterr().err
