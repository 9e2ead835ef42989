"""A lean forward pass of Llama-like decoders for short, fixed-length sequences.

The same arithmetic as Hugging Face's Llama and Qwen2 models (checked in the tests), with what a
policy does not need left out: positions are constants, Q/K/V and gate/up are one matrix product
each, nothing is cached, and the last block computes only the positions that the head reads. It
compiles to few kernels, block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SUPPORTED = ("llama", "qwen2")

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal grouped-query attention by PyTorch's fused kernels; q [n, heads, Q, d] are the last Q
    of T positions; k, v [n, kv_heads, T, d]."""
    queries, length = q.shape[2], k.shape[2]
    if queries in (1, length):
        causal = queries > 1
        return functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    position = torch.arange(length, device=q.device)
    seen = position[None, :] <= position[length - queries :, None]
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)


def broadcast_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same as products and sums over [.., Q, T, d]. For a handful of tokens the compiler makes
    one pass of it, with the rotation before it, where fused kernels compute tiles of 64 or 128
    positions."""
    n, heads, queries, dim = q.shape
    kv_heads, length = k.shape[1], k.shape[2]
    grouped = q.view(n, kv_heads, heads // kv_heads, queries, 1, dim)
    keys, values = k[:, :, None, None], v[:, :, None, None]
    scores = (grouped.float() * keys.float()).sum(-1) / math.sqrt(dim)
    position = torch.arange(length, device=q.device)
    hidden = position[None, :] > position[length - queries :, None]
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    mixed = (weights[..., None] * values.float()).sum(-2)
    return mixed.to(q.dtype).view(n, heads, queries, dim)


class LeanBlock(nn.Module):
    """One pre-norm block: grouped-query attention with rotary positions (RoFormer), then SwiGLU."""

    def __init__(
        self, block: Any, heads: int, kv_heads: int, eps: float, attend: Attention
    ) -> None:
        super().__init__()
        self.attend = attend
        attention, mlp = block.self_attn, block.mlp
        self.heads, self.kv_heads, self.eps = heads, kv_heads, eps
        self.head_dim: int = attention.head_dim
        self.attention_norm = block.input_layernorm.weight
        self.mlp_norm = block.post_attention_layernorm.weight
        self.qkv = _fused_linear(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = attention.o_proj
        self.gate_up = _fused_linear(mlp.gate_proj, mlp.up_proj)
        self.down = mlp.down_proj

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, wanted: int) -> Tensor:
        """[n, T, h] -> [n, wanted, h], the last so many positions."""
        n, length, width = x.shape
        normed = functional.rms_norm(x, (width,), self.attention_norm, self.eps)
        qkv = self.qkv(normed)
        qkv = qkv.view(n, length, self.heads + 2 * self.kv_heads, self.head_dim).transpose(1, 2)
        rotated = _rotate(qkv[:, : self.heads + self.kv_heads], cos, sin)
        q, k = rotated[:, : self.heads], rotated[:, self.heads :]
        v = qkv[:, self.heads + self.kv_heads :]
        if wanted < length:
            q, x = q[:, :, -wanted:], x[:, -wanted:]
        mixed = self.attend(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        normed = functional.rms_norm(x, (width,), self.mlp_norm, self.eps)
        gate, up = self.gate_up(normed).chunk(2, dim=-1)
        out: Tensor = x + self.down(functional.silu(gate) * up)
        return out


def _fused_linear(*layers: nn.Linear) -> nn.Linear:
    """One layer that computes the outputs of all, one after the other."""
    first = layers[0]
    fused = nn.Linear(first.in_features, sum(layer.out_features for layer in layers), device="meta")
    fused.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), requires_grad=False)
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    bias = nn.Parameter(torch.cat(biases), requires_grad=False) if biases else None
    fused.register_parameter("bias", bias)
    return fused


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in Hugging Face's half-split layout; x [n, heads, T, d], cos and sin [T,
    d].
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class LeanDecoder(nn.Module):
    """Stands in for an `LlmBackbone` whose adapters are merged: tokens [n, T, hidden] -> the last
    outputs [n, positions, hidden]; T is at most `length`.
    """

    def __init__(
        self, llm: Any, length: int, attend: Attention = fused_attention, positions: int = 1
    ) -> None:
        super().__init__()
        self.positions = positions
        config = llm.config
        self.eps: float = config.rms_norm_eps
        self.blocks = nn.ModuleList(
            LeanBlock(
                block, config.num_attention_heads, config.num_key_value_heads, self.eps, attend
            )
            for block in llm.layers
        )
        self.norm = llm.norm.weight
        self.dtype: torch.dtype = self.norm.dtype
        device, dtype = self.norm.device, self.dtype
        with torch.no_grad():
            numbers = torch.arange(length, device=device)[None]
            cos, sin = llm.rotary_emb(torch.empty(0, device=device, dtype=dtype), numbers)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos[0].to(dtype), persistent=False)
        self.register_buffer("sin", sin[0].to(dtype), persistent=False)

    def forward(self, tokens: Tensor, positions: int | None = None) -> Tensor:
        """positions: as many as at construction if None."""
        x = tokens
        length: int = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        wanted = self.positions if positions is None else positions
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, wanted if index == last else length)
        return functional.rms_norm(x, (x.shape[-1],), self.norm, self.eps)


def supported(llm: Any) -> bool:
    """Whether the lean pass computes the same as this Hugging Face model."""
    config = llm.config
    scaling = (
        getattr(config, "rope_scaling", None) or getattr(config, "rope_parameters", None) or {}
    )
    return (
        config.model_type in SUPPORTED
        and getattr(config, "hidden_act", "silu") == "silu"
        and not getattr(config, "use_sliding_window", False)
        and not getattr(config, "attention_bias", False)
        and not getattr(config, "mlp_bias", False)
        and scaling.get("rope_type", "default") == "default"
    )
