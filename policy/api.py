"""What a tier is: something that decides pacing rate and cwnd for many flows at once. And which
tiers there are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy.errors import PolicyError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlowBatch:
    """n flows, one decision wanted for each; a flow occurs once.

    flow: int64[n], small integers that tiers may use as index into arrays of their own; windows:
    float64[n, w, F], the newest w windows in physical units, newest last, columns as
    `policy.tasks.congestion.fields.FIELDS`; valid: bool[n, w], False where the flow is too young to
    have had that window (its row is then zero); bandwidth_bps, min_rtt_ns, mss_bytes: float64[n],
    the flow's estimates now, all positive.
    """

    flow: NDArray[np.int64]
    windows: Floats
    valid: NDArray[np.bool_]
    bandwidth_bps: Floats
    min_rtt_ns: Floats
    mss_bytes: Floats

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
        )


@dataclass(frozen=True)
class Actions:
    """What n flows are to do: pacing rate in payload bits per second, cwnd in packets (not
    rounded); float64[n].
    """

    pacing_rate_bps: Floats
    cwnd_packets: Floats


class Tier(Protocol):
    """Decides for many flows at once. State, if any, is kept in arrays indexed by flow number.

    A tier may have an attribute `history: int`, the number of windows that it reads; without it, it
    is given all that are kept (`policy.tasks.congestion.fields.HISTORY`). One that takes larger
    batches in slices says of how many flows with `max_batch: int`. One that keeps queues short says
    so with `yields = True`: beside flows that fill them it is helped
    (`policy.tasks.congestion.competition`).
    """

    name: str

    def decide(self, batch: FlowBatch, now_ns: int) -> Actions:
        """One action per flow of the batch. now_ns: the server's monotonic clock."""

    def forget(self, flows: Sequence[int]) -> None:
        """These flow numbers have ended; their next use is another flow."""


@dataclass(frozen=True)
class TierContext:
    """What a tier is built from.

    flows: flow numbers are below this; model: checkpoint folder or bundled name (None: the default
    one); device: for tiers that compute on one, "auto", "cpu", "cuda", …; seed: of tiers that draw
    at random.
    """

    flows: int
    model: Path | str | None = None
    device: str = "auto"
    seed: int = 0


Factory = Callable[[TierContext], Tier]

LIGHT = {
    "persistence": "policy.tasks.congestion.policies.persistence:Persistence",
    "gcc": "policy.tasks.congestion.policies.gcc:Gcc",
    "bbr-lite": "policy.tasks.congestion.policies.bbr_lite:BbrLite",
    "aimd": "policy.tasks.congestion.policies.aimd:Aimd",
    "hold": "policy.tasks.congestion.policies.hold:Hold",
    "explore": "policy.tasks.congestion.policies.explore:Explore",
}
"""Tiers that answer at once: name -> "module:class", imported when asked for and called with a
TierContext.
"""
DEFAULT_LIGHT = "persistence"
"""Who answers under APC what no model does."""
MODELS = ("llm", "gru", "mlp", "transformer")
"""Tiers whose answers come from a trained model, batched and, in the server, in processes of their
own.
"""
TOLD = {"oracle": "policy.tasks.congestion.policies.oracle:Oracle"}
"""Rules that are told what no sender knows, in the file that the context calls model; served only
where loaded, as models are."""
_registered: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Add a tier of one's own. Raises PolicyError if the name is taken."""
    if name in names():
        raise PolicyError(f"tier {name!r} exists already; choose another name")
    _registered[name] = factory


def names() -> tuple[str, ...]:
    """All tiers that `create` knows."""
    return (*LIGHT, *MODELS, *TOLD, *_registered)


def create(name: str, context: TierContext) -> Tier:
    """Build a tier. Raises PolicyError if there is none of this name, or what its own construction
    raises.
    """
    if name in _registered:
        return _registered[name](context)
    if name in MODELS:
        from policy.tasks.congestion.model_policy import load_tier

        return load_tier(name, context.model, context.device)
    if name not in LIGHT | TOLD:
        raise PolicyError(f"no tier {name!r}; known: {', '.join(names())}")
    module, _, attribute = (LIGHT | TOLD)[name].partition(":")
    factory: Factory = getattr(importlib.import_module(module), attribute)
    return factory(context)
