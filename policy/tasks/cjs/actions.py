"""Actions as places in the head's output, which is [CANDIDATES, CLASSES], and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy.tasks.base import Arrays
from policy.tasks.cjs.inputs import CLASSES, class_of, classes_of
from policy.tasks.cjs.job import FloatArray, IntArray
from policy.tasks.cjs.teacher import PROPOSERS

ACTIONS = len(PROPOSERS)
"""Labelled actions of a state at most: those of the lowest cost."""
TEMPERATURE_S = 2.0
"""Of the soft labels: an action that costs so many job seconds more is 1/e as likely."""


def decoded(
    chosen: NDArray[np.int64], stage_number: NDArray[np.int64], proposed: NDArray[Any]
) -> Arrays:
    """Stage and executors of places in the flattened output [n]; stage_number [n, CANDIDATES],
    proposed [n, CANDIDATES, rules].

    The executors are those of the first rule that proposes as many as the class stands for, else
    those of the class.
    """
    slot, number = np.divmod(chosen, len(CLASSES))
    stage = np.take_along_axis(stage_number, slot[:, None], axis=1)[:, 0]
    offers = proposed[np.arange(len(slot)), slot].astype(np.int64)
    fits = (offers > 0) & (classes_of(offers) == number[:, None])
    exact = np.take_along_axis(offers, fits.argmax(axis=1)[:, None], axis=1)[:, 0]
    executors = np.where(fits.any(axis=1), exact, CLASSES[number])
    return {"stage": stage, "executors": np.where(stage < 0, 0, executors)}


def place_of(stage_number: IntArray, stage: int, executors: int) -> int:
    """The place in the flattened output of an action; -1 if its stage is no candidate."""
    if stage < 0:
        return 0
    slots = np.flatnonzero(stage_number == stage)
    return int(slots[0]) * len(CLASSES) + class_of(executors) if len(slots) else -1


def label_of(stage_number: IntArray, actions: IntArray, costs_s: FloatArray) -> Arrays | None:
    """action [ACTIONS], places in the head's flattened output; weight, which add up to 1; regret_s,
    above the best. None if no action can be expressed.
    """
    # The first slot stands for passing, and those behind the candidates hold -1 too.
    places = {int(stage): slot for slot, stage in enumerate(stage_number) if stage >= 0}
    places[-1] = 0
    best: dict[int, float] = {}
    for (stage, executors), cost in zip(actions.tolist(), costs_s.tolist(), strict=True):
        if stage in places:
            number = class_of(executors) if stage >= 0 else 0
            at = places[stage] * len(CLASSES) + number
            best[at] = min(cost, best.get(at, np.inf))
    if not best:
        return None
    kept = sorted(best.items(), key=lambda item: item[1])[:ACTIONS]
    regret = np.array([cost for _, cost in kept]) - kept[0][1]
    weight = np.exp(-regret / TEMPERATURE_S)
    label: Arrays = {
        "action": np.zeros(ACTIONS, np.int16),
        "weight": np.zeros(ACTIONS, np.float32),
        "regret_s": np.zeros(ACTIONS, np.float32),
    }
    label["action"][: len(kept)] = [at for at, _ in kept]
    label["weight"][: len(kept)] = weight / weight.sum()
    label["regret_s"][: len(kept)] = regret
    return label
