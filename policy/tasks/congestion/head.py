"""The action decoder: one output vector -> one bounded number -> pacing rate and cwnd."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policy.tasks.congestion.cwnd import cwnd_packets
from policy.tasks.congestion.settings import ServingConfig


class BoundedHead(nn.Module):
    """[n, 1, hidden] -> [n] in (-1, 1): the log2 multiplier on the flow's bandwidth estimate."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)  # backbones end at very different scales
        self.linear = nn.Linear(hidden, 1)
        nn.init.normal_(self.linear.weight, std=0.1 / hidden**0.5)  # start near "keep the estimate"
        nn.init.zeros_(self.linear.bias)

    def forward(self, vectors: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        return torch.tanh(self.linear(self.norm(vectors[:, 0]))).squeeze(-1)


def rate_and_cwnd(
    action_log2: NDArray[np.floating],
    bandwidth_bps: NDArray[np.float64],
    min_rtt_ns: NDArray[np.float64],
    mss_bytes: NDArray[np.float64],
    settings: ServingConfig | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pacing rate [bit/s] and cwnd [packets] of actions; all arrays [n].

    cwnd holds bandwidth * 2^action * min RTT and the queue that is allowed
    (`policy.tasks.congestion.cwnd`). The pacing rate is bandwidth * 2^action too, but not below the
    estimate: a smaller cwnd drains a queue within a round trip and lets go as soon as ACKs come
    faster, where a lower rate would hold for all of the window.
    """
    settings = settings or ServingConfig()
    wanted_bps = bandwidth_bps * np.exp2(np.clip(action_log2, -1.0, 1.0).astype(np.float64))
    cwnd = cwnd_packets(
        wanted_bps,
        min_rtt_ns,
        mss_bytes,
        queue_ns=settings.allowed_queue_ns,
        queue_rtt=settings.allowed_queue_rtt,
    )
    return np.maximum(wanted_bps, bandwidth_bps), cwnd
