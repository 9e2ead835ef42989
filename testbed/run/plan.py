"""Which cells a scenario means, in which order, with which seeds. Pure."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np

from testbed.controllers.registry import label
from testbed.scenario import Scenario
from testbed.traffic.abr import abr_label
from testbed.traffic.scheduler import scheduler_label


@dataclass(frozen=True)
class CellPlan:
    """One congestion controller, once, with one chooser of levels or one scheduler of jobs where
    the run compares them (``abr``, ``scheduler``, else ""). Cells of one repeat share their seed,
    so they are paired.
    """

    index: int
    cc: str
    repeat: int
    seed: int
    abr: str = ""
    scheduler: str = ""

    @property
    def label(self) -> str:
        """The controller's name in tables."""
        return label(self.cc)

    @property
    def abr_label(self) -> str:
        """The name in tables of who chooses levels."""
        return abr_label(self.abr)

    @property
    def scheduler_label(self) -> str:
        """The name in tables of who schedules."""
        return scheduler_label(self.scheduler)

    @property
    def chooser(self) -> str:
        """Who chooses levels or schedules jobs: a flow has one of the two at most."""
        return self.abr or self.scheduler

    @property
    def folder(self) -> str:
        """Name of the cell's folder inside ``cells/``."""
        names = [self.label.replace(":", ".")]
        choosers = [text for text in (self.abr_label, self.scheduler_label) if text]
        names += [re.sub(r"[^A-Za-z0-9._=-]", ".", text) for text in choosers]
        return f"{self.index:03d}-{'-'.join(names)}-r{self.repeat}"


def cell_seed(seed: int, repeat: int) -> int:
    """The seed of one repeat: independent between repeats, the same for every controller."""
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def plan_cells(scenario: Scenario) -> list[CellPlan]:
    """Cells in randomised complete blocks: each repeat holds every controller once (with every
    name of --abr or --scheduler), in seeded random order.

    Blocks keep paired cells close in time, so that a slow drift of the machine hits all controllers
    alike.
    """
    order = np.random.Generator(np.random.PCG64(scenario.seed))
    cells: list[CellPlan] = []
    for repeat in range(scenario.repeats):
        seed = cell_seed(scenario.seed, repeat)
        pairs = list(
            itertools.product(scenario.cc, scenario.abr or ("",), scenario.scheduler or ("",))
        )
        for chosen in order.permutation(np.arange(len(pairs)).astype(object)):
            cc, abr, scheduler = pairs[chosen]
            cells.append(CellPlan(len(cells), cc, repeat, seed, abr, scheduler))
    return cells


def flow_offsets_ns(scenario: Scenario, seed: int) -> list[int]:
    """Start of each measured flow after the cell's start: the first at once, the others within
    ``stagger``.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    offsets = random.integers(0, scenario.stagger_ns + 1, size=scenario.flows)
    return [0, *(int(offset) for offset in offsets[1:])]
