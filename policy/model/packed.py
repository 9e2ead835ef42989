"""Linear layers with weights in the CPU library's own layout.

PyTorch hands oneDNN plain weights, which it lays out anew at every call; for a handful of tokens
that costs as much as the product. The compiler of PyTorch packs them once, through the operators
used here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_OPERATORS = torch.ops.mkldnn


class PackedLinear(nn.Module):
    """The same function as an `nn.Linear`, for inference on a CPU with `rows` rows in the smallest
    batch.
    """

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        self._weight = _OPERATORS._reorder_linear_weight(linear.weight.detach(), rows)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _OPERATORS._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return out


def packable(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies the type, and this PyTorch has the operators."""
    return (
        dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and hasattr(_OPERATORS, "_reorder_linear_weight")
        and hasattr(_OPERATORS, "_linear_pointwise")
        and bool(_OPERATORS._is_mkldnn_bf16_supported())
    )


def pack_linears(module: nn.Module, rows: int) -> None:
    """Replace every `nn.Linear` below the module by its packed form."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child, rows))
        else:
            pack_linears(child, rows)
