"""Incremental decoding with a per-flow KV cache and a sliding window, to compare with recomputing
the history.

One new token per decision attends to the keys and values of the last `window` tokens of its flow,
held in a ring per flow. The encoder's cost is left out on purpose: the measurement is a lower bound
of what a cached engine would take.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.model.decoder import LeanBlock, LeanDecoder


class CachedDecoder(nn.Module):
    """[n, hidden] new tokens -> [n, hidden] output vectors; updates the rings of `slots`."""

    def __init__(self, llm: Any, slots: int, window: int) -> None:
        super().__init__()
        lean = LeanDecoder(
            llm, 2 * window
        )  # positions are relative: a ring may number them modulo its length
        self.blocks, self.norm, self.eps, self.window = lean.blocks, lean.norm, lean.eps, window
        self.cos, self.sin = lean.cos, lean.sin
        on_gpu = self.norm.device.type == "cuda"
        self.one_block = torch.compile(cached_block, dynamic=False) if on_gpu else cached_block
        first = lean.blocks[0]
        assert isinstance(first, LeanBlock)
        shape = (len(lean.blocks), slots, first.kv_heads, window, first.head_dim)
        self.keys = torch.zeros(shape, device=self.norm.device, dtype=self.norm.dtype)
        self.values = torch.zeros_like(self.keys)

    def forward(self, tokens: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        x = tokens
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        place = positions % self.window
        for index, block in enumerate(self.blocks):
            x = self.one_block(
                block, x, self.keys[index], self.values[index], slots, place, cos, sin
            )
        return functional.rms_norm(x, (x.shape[-1],), self.norm, self.eps)


def cached_block(
    block: LeanBlock,
    x: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    place: Tensor,
    cos: Tensor,
    sin: Tensor,
) -> Tensor:
    """One block for one new token per flow; keys and values [slots, kv_heads, window, d] are
    updated in place.
    """
    n, width = x.shape
    normed = functional.rms_norm(x, (width,), block.attention_norm, block.eps)
    qkv = block.qkv(normed)
    qkv = qkv.view(n, block.heads + 2 * block.kv_heads, block.head_dim)
    q_and_k, v = qkv.split([block.heads + block.kv_heads, block.kv_heads], dim=1)
    first, second = q_and_k.chunk(2, dim=-1)
    q_and_k = q_and_k * cos + torch.cat([-second, first], dim=-1) * sin
    q, k = q_and_k.split([block.heads, block.kv_heads], dim=1)
    keys.index_put_(
        (slots[:, None], torch.arange(block.kv_heads, device=x.device), place[:, None]), k
    )
    values.index_put_(
        (slots[:, None], torch.arange(block.kv_heads, device=x.device), place[:, None]), v
    )
    mixed = functional.scaled_dot_product_attention(
        q[:, :, None], keys[slots], values[slots], enable_gqa=True
    )
    x = x + block.out(mixed.flatten(1))
    normed = functional.rms_norm(x, (width,), block.mlp_norm, block.eps)
    gate, up = block.gate_up(normed).chunk(2, dim=-1)
    out: Tensor = x + block.down(functional.silu(gate) * up)
    return out


class CachedEngine:
    """Times `CachedDecoder` for `batch` flows; in one CUDA graph with compiled blocks on a GPU."""

    def __init__(self, llm: Any, batch: int, window: int) -> None:
        decoder = CachedDecoder(llm, batch, window).eval()
        device, dtype = decoder.norm.device, decoder.norm.dtype
        tokens = torch.randn(batch, decoder.norm.shape[0], device=device, dtype=dtype)
        slots = torch.randperm(batch, device=device)
        positions = torch.full((batch,), window, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._forward = lambda: decoder(tokens, slots, positions)
        if device.type == "cuda":
            with torch.inference_mode():
                stream = torch.cuda.Stream()
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    for _ in range(3):
                        self._forward()
                torch.cuda.current_stream().wait_stream(stream)
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._forward()

    @torch.inference_mode()
    def run(self) -> None:
        """One decision for every flow, to completion."""
        if self._graph is None:
            self._forward()
            return
        self._graph.replay()
        torch.cuda.synchronize()
