"""What a policy sees and gives: it decides pacing rate and cwnd for many flows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy.objective import BALANCED

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlowBatch:
    """n flows, one decision wanted for each; a flow occurs once.

    flow: int64[n], small integers that policies may use as index into arrays of their own;
    windows: float64[n, w, F], the newest w windows in physical units, newest last, columns as
    `policy.tasks.congestion.fields.FIELDS`;
    valid: bool[n, w], False where the flow is too young to have had that window (its row is zero);
    bandwidth_bps, min_rtt_ns, mss_bytes: float64[n], the flow's estimates now, all positive;
    objective: float64[n], what the flow wants, from 0 for the shortest queue to 1 for all of the
    capacity (`policy.objective`); balanced where it is left out.
    """

    flow: NDArray[np.int64]
    windows: Floats
    valid: NDArray[np.bool_]
    bandwidth_bps: Floats
    min_rtt_ns: Floats
    mss_bytes: Floats
    objective: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if len(self.objective) != len(self.flow):
            object.__setattr__(self, "objective", np.full(len(self.flow), BALANCED))

    def __len__(self) -> int:
        return len(self.flow)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> FlowBatch:
        """The chosen flows."""
        return FlowBatch(
            self.flow[chosen],
            self.windows[chosen],
            self.valid[chosen],
            self.bandwidth_bps[chosen],
            self.min_rtt_ns[chosen],
            self.mss_bytes[chosen],
            self.objective[chosen],
        )


@dataclass(frozen=True)
class Actions:
    """What n flows are to do: pacing rate in payload bits per second, cwnd in packets (not
    rounded); float64[n].
    """

    pacing_rate_bps: Floats
    cwnd_packets: Floats


class Policy(Protocol):
    """Decides for many flows at once. State, if any, is kept in arrays indexed by flow number.

    A policy is built with a `PolicyContext`. It may have more attributes:

    history: int, the number of windows that it reads; without it, all that are kept
        (`policy.tasks.congestion.fields.HISTORY`).
    max_batch: int, flows that it takes at a time; larger batches come in slices.
    yields: True, it keeps queues short; it is helped beside flows that fill them
        (`policy.tasks.congestion.competition`) and where ACKs come together
        (`policy.tasks.congestion.aggregation`).
    """

    name: str

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """One action per flow of the batch. now_ns: the server's monotonic clock."""

    def forget(self, flows: Sequence[int]) -> None:
        """These flow numbers have ended; their next use is another flow."""


@dataclass(frozen=True)
class PolicyContext:
    """What a policy is built from.

    flows: flow numbers are below this;
    model: checkpoint folder or bundled name (None: the default one);
    device: where a model computes, "auto", "cpu", "cuda", …;
    seed: of policies that draw at random.
    """

    flows: int
    model: Path | str | None = None
    device: str = "auto"
    seed: int = 0
