from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy.model.backbone import LlmBackbone
from policy.model.config import BackboneConfig
from policy.model.decoder import LeanDecoder, broadcast_attention, fused_attention, supported

pytestmark = pytest.mark.torch

SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "vocab_size": 16,
}


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("attend", [fused_attention, broadcast_attention])
@pytest.mark.parametrize("length", [1, 5, 20])
def test_same_as_hugging_face(kind, attend, length):
    backbone = LlmBackbone(
        BackboneConfig(architecture={"model_type": kind, **SHAPE}, lora={"rank": 0})
    ).eval()
    for name, value in backbone.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value)  # they start at zero, which would hide a lost one
    assert supported(backbone.llm)
    tokens = torch.randn(4, length, backbone.hidden)
    for positions in sorted({1, (length + 1) // 2, length}):
        lean = LeanDecoder(backbone.llm, length, attend, positions).eval()
        expected = backbone(tokens, positions)
        assert expected.shape == (4, positions, backbone.hidden)
        torch.testing.assert_close(lean(tokens), expected, rtol=1e-4, atol=1e-5)


def test_other_architectures_are_not_claimed():
    shape = {"model_type": "gpt2", "n_embd": 32, "n_head": 2, "n_layer": 1, "vocab_size": 16}
    backbone = LlmBackbone(BackboneConfig(architecture=shape, lora={"rank": 0}))
    assert not supported(backbone.llm)
    again = LlmBackbone(BackboneConfig(architecture=shape, lora={"rank": 0}))
    assert again.fingerprint == backbone.fingerprint
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    shape = {"model_type": "llama", **SHAPE, "rope_parameters": scaled}
    assert not supported(LlmBackbone(BackboneConfig(architecture=shape, lora={"rank": 0})).llm)


@given(
    length=st.integers(1, 9),
    groups=st.integers(1, 3),
    kv_heads=st.integers(1, 3),
    last=st.booleans(),
)
def test_both_attentions_agree(length, groups, kv_heads, last):
    generator = torch.Generator().manual_seed(length)
    q = torch.randn(2, groups * kv_heads, length, 4, generator=generator)
    k, v = torch.randn(2, 2, kv_heads, length, 4, generator=generator)
    if last:
        q = q[:, :, -1:]
    torch.testing.assert_close(
        broadcast_attention(q, k, v), fused_attention(q, k, v), rtol=1e-4, atol=1e-5
    )
