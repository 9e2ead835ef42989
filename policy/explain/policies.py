"""A policy as a function from a batch to actions, for explanations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch, PolicyContext
from policy.explain.attribution import Act
from policy.model.policy import ModelPolicy
from policy.registry import MODELS, create

MOST_FLOWS = 4096
"""Flows of one call, numbered from 0."""


def acting(name: str, model: Path | str | None) -> Act:
    """The policy's actions, log2 of the rate over the bandwidth estimate; float64[n].

    A model's output before its serving settings; of any other policy what it asks for. Raises what
    building the policy raises: PolicyError or ModelError, in one line.
    """
    policy = create(name, PolicyContext(MOST_FLOWS, model, "cpu"), "congestion")

    def act(batch: FlowBatch) -> NDArray[np.float64]:
        if isinstance(policy, ModelPolicy):
            return policy.outputs(batch).astype(np.float64)
        actions = policy.decide(batch, 0)
        return np.log2(np.maximum(actions.pacing_rate_bps, 1.0) / batch.bandwidth_bps)

    return act


def is_model(name: str) -> bool:
    """Whether a trained model answers for it."""
    return name in MODELS
