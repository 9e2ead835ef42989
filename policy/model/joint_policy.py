"""All tasks of one checkpoint, answered by one set of weights."""

from __future__ import annotations

from pathlib import Path

import torch

from policy.model import joint_checkpoint
from policy.model.backbone import LlmBackbone
from policy.model.decoder import LeanDecoder, supported
from policy.model.engine import (
    Engine,
    attention_of,
    best_variant,
    checked,
    dtype_of,
    make_engine,
    resolve_device,
)
from policy.model.errors import ModelError
from policy.model.joint import JointModel
from policy.model.packed import pack_linears
from policy.model.policy import KINDS, ModelPolicy


def load_policies(
    folder: Path, device: str = "auto", variant: str | None = None
) -> dict[str, ModelPolicy]:
    """A policy for each task; a batch of any of them runs through the same backbone, whose weights
    are held once. Not thread-safe: one worker asks all of them.

    Raises:
        ModelError: as `joint_checkpoint.load`, or the tasks have adapters of their own, which
            cannot be merged into one set of weights.
    """
    model, infos = joint_checkpoint.load(folder)
    name = next(name for name, kind in KINDS.items() if kind == model.config.kind)
    return {
        task: ModelPolicy(name, engine, infos[task])
        for task, engine in engines(model, device, variant).items()
    }


def engines(
    model: JointModel, device: str = "auto", variant: str | None = None
) -> dict[str, Engine]:
    """An engine for each task around one backbone, warmed up. Raises ModelError."""
    if model.config.kind == "nioka" and model.config.backbone.lora.rank_per_task:
        raise ModelError(
            "each task has adapters of its own; load the tasks apart: policy.model.load"
        )
    device = resolve_device(device)
    first = next(iter(model.models.values()))
    chosen = checked(variant or best_variant(first, device))
    decoder = _decoder(model, device, dtype_of(first, device, chosen), chosen)
    made = {task: make_engine(one, device, chosen, decoder) for task, one in model.models.items()}
    for engine in made.values():
        engine.warm_up()
    return made


def _decoder(
    model: JointModel, device: str, dtype: torch.dtype, variant: str
) -> LeanDecoder | None:
    """The lean pass that all share; None where there is none, and the backbone itself is shared."""
    for one in model.models.values():
        one.for_inference(device, dtype)
    backbone = model.backbone
    if not isinstance(backbone, LlmBackbone):
        return None
    backbone.merge_adapters()
    if variant == "eager" or not supported(backbone.llm):
        return None
    longest = max(one.tokens for one in model.models.values())
    decoder = LeanDecoder(backbone.llm, longest, attention_of(checked(variant)))
    if variant == "packed":
        pack_linears(decoder, longest)
    return decoder
