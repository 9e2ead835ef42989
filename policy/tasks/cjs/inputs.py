"""An observation as a model reads it: static shapes, a list of candidates, classes of executors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from policy.tasks.base import Arrays, Settings
from policy.tasks.cjs.environment import ClusterEnvironment, may_pass
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.simulator.observe import (
    CLUSTER_FEATURES,
    JOB_FEATURES,
    STAGE_FEATURES,
    Observation,
)

JOBS = 16
STAGES = 20
"""Of a job; of larger jobs the candidates and the stages first in order are read."""
CANDIDATES = 32
"""The first stands for passing."""
CLASSES = np.array([1, 2, 3, 4, 5, 7, 10, 14, 20, 27, 37, 50])
"""Executors to commit, spaced evenly in their logarithm."""

TOKENS = 2 + JOBS + CANDIDATES

SHAPES: dict[str, tuple[int, ...]] = {
    "stages": (JOBS, STAGES, len(STAGE_FEATURES)),
    "jobs": (JOBS, len(JOB_FEATURES)),
    "cluster": (len(CLUSTER_FEATURES),),
    "adjacency": (JOBS, STAGES, STAGES),
    "present": (JOBS, STAGES),
    "place": (CANDIDATES,),
    "exists": (CANDIDATES,),
}


class EncoderConfig(Settings):
    """The graph network."""

    width: int = Field(default=64, gt=0, le=512)
    sweeps: int = Field(default=9, gt=0, le=64, description="the longest path that is seen whole")


def inputs_of(seen: Observation, passing: bool) -> Arrays:
    """One sample, arrays of `SHAPES` without the batch dimension, and `stage_number` [CANDIDATES].

    place: job * STAGES + stage of each candidate. passing: whether it is possible
    (`environment.may_pass`).
    """
    jobs = min(JOBS, len(seen.jobs))
    columns = _columns(seen)
    width = min(STAGES, columns.shape[1])
    row = np.arange(jobs)[:, None]
    inputs: Arrays = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    inputs["adjacency"] = np.zeros(SHAPES["adjacency"], np.uint8)
    inputs["stages"][:jobs, :width] = seen.stages[row, columns]
    inputs["jobs"][:jobs] = seen.jobs[:jobs]
    inputs["cluster"][:] = seen.cluster
    inputs["adjacency"][:jobs, :width, :width] = seen.adjacency[
        row[:, :, None], columns[:, :, None], columns[:, None, :]
    ]
    inputs["present"][:jobs, :width] = seen.present[row, columns]
    at = np.argwhere(seen.candidates[row, columns])[: CANDIDATES - 1]
    end = 1 + len(at)
    inputs["place"][1:end] = at[:, 0] * STAGES + at[:, 1]
    inputs["exists"][1:end] = 1
    inputs["exists"][0] = 1 if passing or end == 1 else 0
    numbers = np.full(CANDIDATES, -1, np.int64)
    numbers[1:end] = seen.stage_number[row, columns][at[:, 0], at[:, 1]]
    return inputs | {"stage_number": numbers}


def inputs_at(environment: ClusterEnvironment) -> Arrays:
    """The sample of what an environment shows now."""
    return inputs_of(environment.observe(), may_pass(environment.cluster))


def stacked(samples: Sequence[Arrays]) -> Arrays:
    """Samples as one batch."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def class_of(executors: int) -> int:
    """The class whose number is nearest, in its logarithm."""
    return int(np.abs(np.log(CLASSES / max(1, executors))).argmin())


def _columns(seen: Observation) -> IntArray:
    """Which stages of each job are read [jobs, at most STAGES], in rising order."""
    jobs, stages = min(JOBS, len(seen.jobs)), seen.present.shape[1]
    if stages <= STAGES:
        return np.broadcast_to(np.arange(stages), (jobs, stages))
    rank = 2 * seen.candidates[:jobs].astype(np.int64) + seen.present[:jobs]
    chosen = np.argsort(-rank, axis=1, kind="stable")[:, :STAGES]
    return np.sort(chosen, axis=1)
