"""What a scheduler of APC is: it says which flows are difficult, and is told what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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
class SchedulerContext:
    """What a scheduler is built from. flows: flow numbers are below this."""

    flows: int
