"""Collects labelled sessions into a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from policy.tasks.abr.training import dataset
from policy.tasks.abr.training.choosers import Chooser, rules
from policy.tasks.abr.training.material import Material
from policy.tasks.abr.training.rounds import Settings, collect


@dataclass(frozen=True)
class Collection:
    """What `collect_to` did."""

    states: int
    sessions: int
    batches: int


def collect_to(
    folder: Path,
    material: Material,
    settings: Settings,
    networks: Sequence[Chooser],
    valued_by: Chooser | None,
    notes: dict[str, str],
) -> Collection:
    """Plays `settings.sessions` sessions under rules and `networks`, half of them under networks
    where there are any, and writes the labels of every state.

    `valued_by` follows each level that is valued; the first network if None, else a rule. Raises
    PolicyError.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    known = rules()
    behaviours: list[Chooser] = [*known]
    if networks:
        behaviours += [networks[i % len(networks)] for i in range(len(known))]
    follows = valued_by or (networks[0] if networks else known[0])
    batches = [
        collect(sessions, behaviours, follows, settings)
        for sessions in material.draw(settings.sessions, rng)
    ]
    dataset.save(folder, batches, material, notes)
    states = sum(len(batch.taken) for batch in batches)
    return Collection(states, settings.sessions, len(batches))
