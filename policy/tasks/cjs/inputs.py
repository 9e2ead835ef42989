"""An observation as a model reads it: static shapes, a list of candidates, classes of executors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from policy.tasks.base import Arrays, Settings
from policy.tasks.cjs.environment import ClusterEnvironment, may_pass
from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.simulator.entries import ENTRIES
from policy.tasks.cjs.simulator.layout import NOWHERE
from policy.tasks.cjs.simulator.observe import (
    CLUSTER_FEATURES,
    JOB_FEATURES,
    STAGE_FEATURES,
    Observation,
)
from policy.tasks.cjs.teacher import PROPOSERS

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
    "proposed": (CANDIDATES, len(PROPOSERS)),
}


class EncoderConfig(Settings):
    """The graph network."""

    width: int = Field(default=64, gt=0, le=512)
    sweeps: int = Field(default=9, gt=0, le=64, description="the longest path that is seen whole")
    actions: Literal["proposed", "any"] = Field(
        default="proposed",
        description="proposed: one of the actions that the teacher's rules propose; any: all",
    )


_NUMBERS: IntArray = np.array([rule.number for rule in PROPOSERS], np.int64)
_PARAMETERS: FloatArray = np.zeros((len(PROPOSERS), 2))
for _row, _rule in zip(_PARAMETERS, PROPOSERS, strict=True):
    _row[: len(_rule.parameters)] = _rule.parameters


def proposals(environment: ClusterEnvironment) -> IntArray:
    """(stage, executors) of each of PROPOSERS [rules, 2]; (-1, 0) passes."""
    actions = np.empty((len(PROPOSERS), 2), np.int64)
    ENTRIES.propose(environment.cluster, _NUMBERS, _PARAMETERS, actions)
    return actions


def agreed(environment: ClusterEnvironment) -> tuple[int, int] | None:
    """The action that all rules propose, apart from passing where it is not possible; None where
    they differ.
    """
    actions = proposals(environment)
    if not may_pass(environment.cluster):
        actions = actions[actions[:, 0] != NOWHERE]
    if not len(actions) or (actions != actions[0]).any():
        return None
    return int(actions[0, 0]), int(actions[0, 1])


def inputs_of(seen: Observation, passing: bool, proposed: IntArray | None = None) -> Arrays:
    """One sample, arrays of `SHAPES` without the batch dimension, and `stage_number` [CANDIDATES].

    place: job * STAGES + stage of each candidate. passing: whether it is possible
    (`environment.may_pass`). proposed: what the rules would do [rules, 2]; the array of that name
    holds their executors, 1 for passing, and 0 for the candidates that a rule does not choose.
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
    if proposed is not None:
        slot_of = {int(stage): slot for slot, stage in enumerate(numbers[:end])}
        for rule, (stage, executors) in enumerate(proposed.tolist()):
            slot = slot_of.get(stage)
            if slot is not None:
                inputs["proposed"][slot, rule] = max(1, executors)
    return inputs | {"stage_number": numbers}


def inputs_at(environment: ClusterEnvironment) -> Arrays:
    """The sample of what an environment shows now."""
    return inputs_of(environment.observe(), may_pass(environment.cluster), proposals(environment))


def stacked(samples: Sequence[Arrays]) -> Arrays:
    """Samples as one batch."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def class_of(executors: int) -> int:
    """The class whose number is nearest, in its logarithm."""
    return int(classes_of(np.array(executors)))


def classes_of(executors: IntArray) -> IntArray:
    """`class_of` of each."""
    distance = np.abs(np.log(CLASSES / np.maximum(1, executors)[..., None]))
    return np.asarray(distance.argmin(axis=-1), np.int64)


def _columns(seen: Observation) -> IntArray:
    """Which stages of each job are read [jobs, at most STAGES], in rising order."""
    jobs, stages = min(JOBS, len(seen.jobs)), seen.present.shape[1]
    if stages <= STAGES:
        return np.broadcast_to(np.arange(stages), (jobs, stages))
    rank = 2 * seen.candidates[:jobs].astype(np.int64) + seen.present[:jobs]
    chosen = np.argsort(-rank, axis=1, kind="stable")[:, :STAGES]
    return np.sort(chosen, axis=1)
