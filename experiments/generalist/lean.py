"""A language model's forward pass with few kernels, for training many short runs.

The same arithmetic as Transformers' and PEFT's, which the tests compare: norms are one kernel each,
an adapter's product is added as it is computed, rotary angles are constants. Sequences of several
tasks can lie one behind the other in one row, each seeing itself alone and counting its positions
from 0, so that none is padded to the length of the longest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from policy.model.backbone import SHARED, LlmBackbone

_ALIGNED = 8
"""Fused attention wants masks of a multiple of so many columns."""


class FusedNorm(nn.Module):
    """The root-mean-square norm of `norm` in one kernel, with its own weight."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight = norm.weight
        self.eps: float = norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class Lean:
    """Tokens [n, sum of lengths, hidden] -> as many output vectors, causal within each length."""

    def __init__(self, backbone: LlmBackbone) -> None:
        peft = hasattr(backbone.llm, "peft_config")
        self._llm: Any = backbone.llm.base_model.model if peft else backbone.llm
        for block in self._llm.layers:
            block.input_layernorm = FusedNorm(block.input_layernorm)
            block.post_attention_layernorm = FusedNorm(block.post_attention_layernorm)
        self._llm.norm = FusedNorm(self._llm.norm)
        # On a processor PyTorch's fused attention takes 1.3 times as long, in bfloat16 four times.
        self._fused = next(backbone.parameters()).device.type == "cuda"
        if not self._fused:
            self._llm.config._attn_implementation = "eager"
        for module in backbone.llm.modules():
            if hasattr(module, "lora_A") and list(module.lora_A) == [SHARED]:
                _add_at_once(module)
        self._constants: dict[Any, tuple[tuple[Tensor, Tensor], Tensor | None]] = {}

    def __call__(self, tokens: Tensor, lengths: tuple[int, ...]) -> Tensor:
        used = tokens.shape[1]
        if len(lengths) > 1:
            tokens = functional.pad(tokens, (0, 0, 0, -used % _ALIGNED))
        turned, mask = self._constant(tokens, lengths)
        for block in self._llm.layers:
            tokens = block(tokens, attention_mask=mask, position_embeddings=turned, use_cache=False)
        out: Tensor = self._llm.norm(tokens)[:, :used]
        return out

    def _constant(
        self, tokens: Tensor, lengths: tuple[int, ...]
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        key = lengths, tokens.dtype
        if key not in self._constants:
            device, whole = tokens.device, tokens.shape[1]
            parts = [*lengths, *[1] * (whole - sum(lengths))]
            places = torch.cat([torch.arange(length) for length in parts]).to(device)
            with torch.no_grad():
                cos, sin = self._llm.rotary_emb(tokens, position_ids=places[None])
            mask = None
            if len(lengths) > 1 or not self._fused:
                owner = torch.arange(len(parts)).repeat_interleave(torch.tensor(parts)).to(device)
                seen = (owner[:, None] == owner) & (places[:, None] >= places)
                mask = torch.zeros(seen.shape, dtype=tokens.dtype, device=device)
                mask = mask.masked_fill(~seen, float("-inf"))[None, None]
            self._constants[key] = (cos, sin), mask
        return self._constants[key]


def make_lean(backbone: LlmBackbone) -> Lean:
    """Let the backbone compute so, in place."""
    lean = Lean(backbone)

    def forward(tokens: Tensor, positions: int = 1) -> Tensor:
        return lean(tokens, (tokens.shape[1],))[:, -positions:]

    backbone.forward = forward  # type: ignore[method-assign]
    return lean


def _add_at_once(module: Any) -> None:
    a, b = module.lora_A[SHARED].weight, module.lora_B[SHARED].weight
    base, scaling = module.base_layer, module.scaling[SHARED]
    dropout = module.lora_dropout[SHARED]

    def forward(x: Tensor) -> Tensor:
        out: Tensor = base(x)
        low = functional.linear(dropout(x), a)
        added = torch.addmm(out.flatten(0, 1), low.flatten(0, 1), b.T, alpha=scaling)
        return added.view_as(out)

    module.forward = forward
