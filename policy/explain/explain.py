"""All explanations of a policy from windows that were logged: of single decisions, and a tree in
its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy.api import FlowBatch
from policy.explain import attribution as parts_of
from policy.explain.attribution import Act
from policy.explain.counterfactual import Counterfactual, nearest
from policy.explain.distil import Distilled, distil
from policy.explain.neutral import calm_windows
from policy.explain.readable import readable
from policy.tasks.congestion.logged import Logged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RANDOM_ORDERS = 3
_CHUNK = 512


@dataclass(frozen=True)
class Decisions:
    """n decisions. action, calm: log2 of the rate over the estimate, and what it would be of a calm
    flow; occlusion, gradients: float64[n, fields, patches], the latter None without PyTorch;
    deletion: by name of the order, float64[n, steps].
    """

    rows: Ints
    action: Floats
    calm: Floats
    occlusion: Floats
    gradients: Floats | None
    agreement: float
    deletion: dict[str, Floats]
    counterfactuals: list[list[Counterfactual]]


@dataclass(frozen=True)
class Explanation:
    """Of a policy: some decisions, and the tree, None where there are too few windows (`why`)."""

    policy: str
    decisions: Decisions
    tree: Distilled | None
    why: str = ""


def decisions(
    logged: Logged, rows: Ints, act: Act, checkpoint: Path | None, seed: int = 0
) -> Decisions:
    """Explain the decisions of these rows. checkpoint: for integrated gradients; None: without.

    Raises ModelError for a checkpoint that PyTorch cannot load.
    """
    batch = logged.batch(rows)
    occlusion = parts_of.occlusion(batch, act)
    gradients = None
    if checkpoint is not None:
        gradients = parts_of.integrated_gradients(batch, checkpoint)
    random = np.random.default_rng(seed)
    count = occlusion[0].size
    deletion = {"occlusion": parts_of.deletion(batch, act, parts_of.by_size(occlusion))}
    agreement = float("nan")
    if gradients is not None:
        order = parts_of.by_size(gradients)
        deletion["integrated gradients"] = parts_of.deletion(batch, act, order)
        agreement = parts_of.agreement(gradients, occlusion)
    drawn = [
        parts_of.deletion(
            batch, act, random.permuted(np.tile(np.arange(count), (len(rows), 1)), axis=1)
        )
        for _ in range(RANDOM_ORDERS)
    ]
    deletion["random"] = np.mean(drawn, axis=0)
    return Decisions(
        rows,
        act(batch),
        act(replace(batch, windows=calm_windows(batch))),
        occlusion,
        gradients,
        agreement,
        deletion,
        [nearest(batch.only(np.array([index])), act) for index in range(len(rows))],
    )


def tree(logged: Logged, act: Act, most: int) -> Distilled:
    """Distil the policy from the first `most` windows at most. Raises ValueError: too few."""
    if not len(logged):
        raise ValueError("no windows were logged")
    rows = np.arange(min(len(logged), most))
    features, actions = [], []
    for start in range(0, len(rows), _CHUNK):
        batch: FlowBatch = logged.batch(rows[start : start + _CHUNK])
        features.append(readable(batch))
        actions.append(act(batch))
    return distil(np.concatenate(features), np.concatenate(actions), logged.flow[rows])


def evenly(rows: Ints, count: int) -> Ints:
    """At most `count` of the rows, spread evenly."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
