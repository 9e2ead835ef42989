"""Frozen backbones, loaded and fingerprinted once in a process of many runs."""

from __future__ import annotations

import copy
from typing import Any

import torch

import policy.model.backbone as backbones
from policy.model.fingerprint import fingerprint


def keep_backbones() -> None:
    """Load and fingerprint each frozen backbone once in this process."""
    load = backbones._load
    loaded: dict[str, Any] = {}
    prints: dict[str, str] = {}

    def kept(config: Any, dtype: torch.dtype) -> Any:
        lora_free = config.model_dump_json(exclude={"lora", "frozen", "layers"})
        key = f"{lora_free} {config.layers} {dtype}"
        if key not in loaded:
            if len(loaded) > 2:
                loaded.clear()
            loaded[key] = load(config, dtype)
            if config.layers is not None:
                loaded[key].layers = loaded[key].layers[: config.layers]
        model = copy.deepcopy(loaded[key])
        model.kept_as = f"{lora_free} {config.layers}"
        return model

    def printed(model: Any) -> str:
        key = getattr(model, "kept_as", "")
        if not key:
            return fingerprint(model)
        if key not in prints:
            prints[key] = fingerprint(model)
        return prints[key]

    backbones._load = kept
    vars(backbones)["fingerprint"] = printed
