"""A checkpoint as one ONNX file for CPUs: `NAME.onnx` beside `NAME.safetensors`.

Batch and ladder may be of any size. Small networks and committees are exported as they are. Of a
language model the adapters are merged, the backbone is the lean pass, and the large matrices are
int8 in blocks, as `policy.model.export` has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from policy.errors import PolicyError
from policy.model.decoder import LeanDecoder, supported
from policy.model.export import product_attention, save, traced
from policy.model.weights import sha256
from policy.tasks.abr.layout import PER_LEVEL, SHARED
from policy.tasks.abr.learned import load_policy
from policy.tasks.abr.llm import LlmScorer
from policy.tasks.abr.portable import MADE_OF, SUFFIX
from policy.tasks.abr.video import MAX_LEVELS

if TYPE_CHECKING:
    import onnx


class LeanScorer(nn.Module):
    """`LlmScorer` for inference: adapters merged, the backbone's lean pass over all positions."""

    def __init__(self, net: LlmScorer) -> None:
        super().__init__()
        net.backbone.merge_adapters()
        if not supported(net.backbone.llm):
            raise PolicyError("this backbone has no lean pass, so it cannot be exported")
        self.encoder, self.norm, self.score = net.encoder, net.norm, net.score
        self.to_token, self.to_context = net.to_token, net.to_context
        self.scale, self.plans = net.backbone.scale, net.plans
        self.decoder = LeanDecoder(net.backbone.llm, MAX_LEVELS + 1, product_attention)

    def forward(self, shared: Tensor, by_level: Tensor) -> Tensor:
        joined, mean = self.encoder(shared, by_level)
        tokens = torch.cat([self.to_context(mean)[:, None], self.to_token(joined)], dim=1)
        out = self.decoder(self.norm(tokens) * self.scale, tokens.shape[1])
        scores: Tensor = self.score(out[:, 1:])[..., 0]
        return scores if self.plans is None else scores + self.plans(by_level)


def export(checkpoint: Path, backbone: str | None = None) -> Path:
    """Writes the ONNX file beside a checkpoint. Raises PolicyError."""
    policy = load_policy(checkpoint, backbone=backbone)
    if policy.target is not None:
        raise PolicyError(f"{checkpoint}: a decision transformer is not exported")
    large = isinstance(policy.net, LlmScorer)
    module = LeanScorer(policy.net).eval() if isinstance(policy.net, LlmScorer) else policy.net
    target = checkpoint.with_suffix(SUFFIX)
    part = target.with_name(f".{target.name}")
    try:
        save(_onnx_of(module, sha256(checkpoint)), part, bits=8 if large else None)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _onnx_of(module: nn.Module, made_of: str) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    levels = torch.export.Dim("levels", min=2, max=MAX_LEVELS)
    example = (torch.ones(2, SHARED), torch.ones(2, 5, PER_LEVEL))
    shapes = ({0: batch}, {0: batch, 1: levels})
    proto = traced(module, example, ["shared", "by_level"], "scores", shapes)
    entry = proto.metadata_props.add()
    entry.key, entry.value = MADE_OF, made_of
    return proto
