"""A model tier of the server: its queue, and the batches that it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch, Policy
from policy.scheduler.admission import BatchQueue
from policy.server.config import ServerConfig
from policy.server.flows import Asked
from policy.tasks.congestion.fields import HISTORY


@dataclass(eq=False)
class Lane:
    """A model tier, its queue, and whether it is computing."""

    tier: Policy
    queue: BatchQueue
    history: int
    busy: bool = False


@dataclass(frozen=True)
class Job:
    """A batch that a model tier is to decide, and the windows that it answers. rows: of the log of
    inputs, if there is one.
    """

    lane: Lane
    batch: FlowBatch
    asked: Asked
    reasons: NDArray[np.uint8]
    taken_ns: int
    rows: NDArray[np.int64] | None = None


def lane(tier: Policy, config: ServerConfig) -> Lane:
    """The idle lane of a tier."""
    largest = min(
        getattr(tier, "max_batch", config.admission.max_batch), config.admission.max_batch
    )
    admission = config.admission.model_copy(update={"max_batch": largest})
    return Lane(tier, BatchQueue(config.limits.flows, admission), getattr(tier, "history", HISTORY))
