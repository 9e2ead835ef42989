"""In which type products are computed."""

from __future__ import annotations

import torch

from policy.model.packed import packable
from policy.training.mixture.config import MixtureConfig


def mixed_dtype(config: MixtureConfig, device: torch.device) -> torch.dtype | None:
    """The type of autocast, None for float32 throughout: bfloat16 on a GPU, and of a language model
    on a processor that multiplies it. Small transformers gain nothing there.
    """
    cuda = device.type == "cuda"
    llm = config.model.kind == "nioka"
    return torch.bfloat16 if cuda or (llm and packable(torch.bfloat16)) else None
