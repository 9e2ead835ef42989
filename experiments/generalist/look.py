"""What training did to a language model: rank and size of the update, how far it moves the output,
and what linear probes read from each block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.generalist.resident import Resident, Side
from policy.model.backbone import SHARED, LlmBackbone
from policy.model.joint import JointModel

_RIDGE = 1e-2


@torch.no_grad()
def update(model: JointModel) -> dict[str, Any]:
    """Of the shared adapter's update B A of each weight matrix W.

    effective_rank: exp of the entropy of its singular values' shares (Roy, Vetterli, 2007);
    relative: its Frobenius norm over that of W. Means over the products of a block, by block.
    """
    backbone = model.backbone
    if not isinstance(backbone, LlmBackbone) or not hasattr(backbone.llm, "peft_config"):
        return {}
    by_block: dict[int, list[tuple[float, float]]] = {}
    for name, module in backbone.llm.named_modules():
        if not hasattr(module, "lora_A") or SHARED not in module.lora_A:
            continue
        a, b = module.lora_A[SHARED].weight.float(), module.lora_B[SHARED].weight.float()
        # Singular values of B A from those of the small factors.
        r_b = torch.linalg.qr(b)[1]
        r_a = torch.linalg.qr(a.T)[1]
        values = torch.linalg.svdvals(r_b @ r_a.T) * module.scaling[SHARED]
        share = values / values.sum().clamp(min=1e-12)
        entropy = -(share * share.clamp(min=1e-12).log()).sum()
        whole = module.base_layer.weight.float().norm()
        block = int(name.split("layers.")[1].split(".")[0])
        by_block.setdefault(block, []).append((float(entropy.exp()), float(values.norm() / whole)))
    ranks = [float(np.mean([one[0] for one in by_block[k]])) for k in sorted(by_block)]
    sizes = [float(np.mean([one[1] for one in by_block[k]])) for k in sorted(by_block)]
    return {"effective_rank": ranks, "relative": sizes}


@torch.no_grad()
def moved(model: JointModel, data: Mapping[str, Resident], limit: int) -> dict[str, Any]:
    """How far the adapters move the backbone's output, by task: |with - without| / |without|, the
    mean over at most `limit` validation samples.
    """
    backbone = model.backbone
    if not isinstance(backbone, LlmBackbone) or not hasattr(backbone.llm, "peft_config"):
        return {}
    found = {}
    for name, one in data.items():
        tokens = _tokens(model, name, _few(one.sides["validation"], limit))
        positions = model.models[name].positions
        backbone.activate(name)
        on = backbone(tokens, positions).float()
        with backbone.llm.disable_adapter():
            off = backbone(tokens, positions).float()
        change = (on - off).flatten(1).norm(dim=1) / off.flatten(1).norm(dim=1).clamp(min=1e-6)
        found[name] = float(change.mean())
    return found


def probes(model: JointModel, data: Mapping[str, Resident], limit: int) -> dict[str, list[float]]:
    """R2 on validation samples of a linear reading (ridge) of the last outputs before the first
    block and after each, by task, of what the task's answer depends on: the label of congestion
    control, each level's regret, each candidate's share of the label. Fitted to at most `limit`
    training samples and judged on as many.
    """
    found: dict[str, list[float]] = {}
    for name, one in data.items():
        parts = (_few(one.sides["train"], limit), _few(one.sides["validation"], limit))
        train, held = (_at_depths(model, name, part) for part in parts)
        device = train[0][0].device.type
        # Autocast would round the products of the regression, which then has no solution.
        with torch.autocast(device, enabled=False):
            found[name] = [_r2(x, y, u, v) for (x, y), (u, v) in zip(train, held, strict=True)]
    return found


def _few(side: Side, limit: int) -> Side:
    rows = np.random.default_rng(3).permutation(len(side))[:limit]
    return side.only(np.sort(rows))


def _tokens(model: JointModel, name: str, side: Side) -> Tensor:
    tokens: Tensor = model.models[name].encoder(side.inputs)
    return tokens.to(model.backbone.dtype)


@torch.no_grad()
def _at_depths(model: JointModel, name: str, side: Side) -> list[tuple[Tensor, Tensor]]:
    positions = model.models[name].positions
    wanted, there = _wanted(name, side, positions)
    seen: list[Tensor] = []
    backbone = model.backbone
    inner: Any = backbone
    if isinstance(backbone, LlmBackbone):
        backbone.activate(name)
        peft = hasattr(backbone.llm, "peft_config")
        inner = backbone.llm.base_model.model if peft else backbone.llm
        blocks = list(inner.layers)
    else:
        blocks = list(inner.encoder.layers) if hasattr(inner, "encoder") else []

    def keep(module: Any, given: Any, out: Any) -> None:
        vectors = out[0] if isinstance(out, tuple) else out
        seen.append(vectors[:, -positions:].float())

    hooks = [block.register_forward_hook(keep) for block in blocks]
    try:
        tokens = _tokens(model, name, side)
        seen.append(tokens[:, -positions:].float())
        backbone(tokens, positions)
    finally:
        for hook in hooks:
            hook.remove()
    return [(vectors[there], wanted[there]) for vectors in seen]


def _wanted(name: str, side: Side, positions: int) -> tuple[Tensor, Tensor]:
    """What is to be read at each of the last positions [n, positions], and where there is some."""
    targets = side.targets
    if name == "congestion":
        value = targets["action_log2"].float()[:, None]
        return value, torch.ones_like(value, dtype=torch.bool)
    if name == "abr":
        return targets["regret_s"].float().clamp(max=10.0), targets["exists"] > 0
    from policy.tasks.cjs.inputs import CLASSES

    places = targets["action"].long() // len(CLASSES)
    shares = torch.zeros(len(side), positions, device=places.device)
    shares.scatter_add_(1, places, targets["weight"].float())
    return shares, side.inputs["exists"] > 0


def _r2(x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> float:
    mean, spread = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    x, u = (x - mean) / spread, (u - mean) / spread
    middle = y.mean()
    gram = x.T @ x / len(x) + _RIDGE * torch.eye(x.shape[1], device=x.device)
    weights = torch.linalg.solve(gram.double(), (x.T @ (y - middle) / len(x)).double())
    error = (u.double() @ weights + middle - v).square().mean()
    return float(1 - error / (v - middle).square().mean())
