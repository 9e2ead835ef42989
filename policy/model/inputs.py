"""The one type that encoders, the trainer and the engine pass around."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Inputs = Mapping[str, Tensor]
"""Named input arrays, each with the batch as first dimension and static shapes behind it."""
