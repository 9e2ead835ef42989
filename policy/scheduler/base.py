"""What a scheduler of APC is: it says which flows are difficult, and is told what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch


class Scheduler(Protocol):
    """Sends flows to the model or leaves them to the rule policy. State is kept by flow number."""

    history: int
    """Windows that it reads."""

    def observe(self, batch: FlowBatch) -> NDArray[np.uint8]:
        """After one more window of each flow: bits that say why the flow is difficult and the
        model is to answer, 0 where it is easy; uint8[n] (`policy.scheduler.rules.Reason`).
        """

    def feedback(self, batch: FlowBatch, by_model: NDArray[np.bool_]) -> None:
        """What came of the flows' last answers: the newest window of the batch. Called before
        `observe` with the same windows, for flows that have been scheduled before.

        by_model: bool[n], whether the model's answer was sent for the window before; else the rule
        policy's stood.
        """

    def forget(self, flows: Sequence[int]) -> None:
        """These flow numbers have ended; their next use is another flow."""


@dataclass(frozen=True)
class Load:
    """How the model copes with the difficult flows, over the last `interval_ns` up to `now_ns`.

    candidates: windows that were called difficult; admitted: of them, those that the model could
    answer in time; late: admitted ones whose answer came too late, or was given up waiting for;
    capacity_per_s: windows a second that the model can answer in time, by its service times.
    """

    now_ns: int
    interval_ns: int
    candidates: int
    admitted: int
    late: int
    capacity_per_s: float


@runtime_checkable
class Adapts(Protocol):
    """What a scheduler may be besides: one that follows the load, and keeps what it has learnt."""

    def measured(self, load: Load) -> None:
        """Called about four times a second."""

    def state(self) -> dict[str, Any]:
        """What is to survive a restart of the server, as JSON takes it."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of an earlier process. Raises ValueError for what is none."""


@dataclass(frozen=True)
class SchedulerContext:
    """What a scheduler is built from. flows: flow numbers are below this."""

    flows: int
