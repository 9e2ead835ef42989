"""What tells a backbone's frozen weights from any others."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

WHOLE = "whole:"
"""Before a fingerprint of whole tensors."""


def fingerprint(llm: nn.Module) -> str:
    """SHA-256 over names, shapes and all values, in bfloat16: the same in any dtype."""
    return WHOLE + digest(llm, None)


def digest(llm: nn.Module, values: int | None) -> str:
    """The same over the first values of each tensor, without the prefix; None: all."""
    found = hashlib.sha256()
    for name, value in sorted(llm.named_parameters()):
        taken = value.detach().flatten()[:values].to("cpu", torch.bfloat16).contiguous()
        found.update(f"{name}{tuple(value.shape)}".encode())
        found.update(taken.view(torch.int16).numpy().data)
    return found.hexdigest()
