"""Sequences that schedulers are trained and compared on: one load, queries of one side of the
split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from policy.tasks.cjs.catalogue import (
    FEW_MS,
    MANY_MS,
    MEAN_MS,
    PATH_MS,
    Catalogue,
    build_catalogue,
)
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.job import Job
from policy.tasks.cjs.network import NO_NETWORK, Network, star, two_racks
from policy.tasks.cjs.sequences import Arrivals, bursty, poisson
from policy.tasks.cjs.simulator.layout import Settings
from policy.tasks.cjs.sources.files import read_jobs
from policy.tasks.cjs.sources.merge import merged
from policy.tasks.cjs.sources.synthetic import generate_jobs
from policy.tasks.cjs.splits import mean_gap_ms, split_by_query

# That of the known sequences on TPC-H: 931 s of work a job, 50 executors, 25.6 s between jobs.
LOAD = 0.73
SPARE_JOBS = 64
LIVE_EXECUTORS, LIVE_TASKS, LIVE_PAIRS = 16, 8, 4
# Sides of the split never share a seed.
_FIRST_SEED = {"train": 0, "validation": 100_000, "test": 200_000}


@dataclass(frozen=True)
class Workload:
    """Kinds of jobs of one side of the split, and how often they come."""

    jobs: Sequence[Job]
    catalogue: Catalogue
    kinds: tuple[int, ...]
    first_seed: int
    settings: Settings = field(default_factory=Settings)
    load: float = LOAD
    bursts: bool = False
    network: Network = NO_NETWORK

    def arrivals(self, number: int, count: int) -> Arrivals:
        """The sequence of that number, of so many jobs."""
        gap_ms = mean_gap_ms(self.jobs, self.kinds, self.settings.executors, self.load)
        draw = bursty if self.bursts else poisson
        return draw(self.first_seed + number, self.kinds, count, gap_ms)

    def environment(self, number: int, count: int) -> ClusterEnvironment:
        """A cluster that executes the sequence of that number."""
        spare = self.arrivals(number + 50_000, SPARE_JOBS)
        return ClusterEnvironment(
            self.catalogue,
            self.arrivals(number, count),
            self.settings,
            self.first_seed + number,
            spare=spare,
            network=self.network,
        )


def workload(profiles: Path | None, side: str, seed: int = 0) -> Workload:
    """The train, validation or test side of the profiles, or of generated jobs."""
    jobs = read_jobs(profiles) if profiles else generate_jobs(seed)
    kinds: tuple[int, ...] = getattr(split_by_query(jobs), side)
    return Workload(jobs, build_catalogue(jobs), kinds, _FIRST_SEED[side])


def variations(load: Workload) -> list[Workload]:
    """The workload, and with 0.6 and 1.6 times the executors and 0.7 and 1.2 times the load."""
    few, many = (
        replace(load, settings=load.settings._replace(executors=round(x * load.settings.executors)))
        for x in (0.6, 1.6)
    )
    light, heavy = (replace(load, load=x * load.load) for x in (0.7, 1.2))
    return [load, few, load, light, load, many, load, heavy]


def with_noise(load: Workload, sigma: float, seed: int = 0) -> Workload:
    """The same tasks, but what is known of a stage's mean task time is off by a log-normal factor
    of this sigma, the same in all sequences: for rules, roll-outs' estimates and observations.
    """
    stage = load.catalogue.stage.copy()
    factor = np.random.default_rng(seed).lognormal(0.0, sigma, len(stage))
    for column in (MEAN_MS, PATH_MS, FEW_MS, MANY_MS):
        stage[:, column] = np.maximum(1, np.rint(stage[:, column] * factor))
    return replace(load, catalogue=load.catalogue._replace(stage=stage))


def as_live(load: Workload) -> Workload:
    """The same jobs as a live cluster runs them: LIVE_EXECUTORS, at most LIVE_TASKS a stage."""
    jobs = [merged(job, LIVE_TASKS) for job in load.jobs]
    settings = load.settings._replace(executors=LIVE_EXECUTORS)
    return replace(load, jobs=jobs, catalogue=build_catalogue(jobs), settings=settings)


def over(load: Workload, kind: str, mbps: float) -> Workload:
    """A small cluster (`as_live`) whose inputs cross a `star` or two `racks` of so many Mbit/s, of
    the jobs' bytes on the cluster's clock: a live cluster at 30 Mbit/s has 750 by default.
    """
    network = (star if kind == "star" else two_racks)(LIVE_PAIRS, mbps * 1e6)
    return replace(load, network=network)


def networked(load: Workload) -> list[Workload]:
    """Small clusters on both networks at several rates, and without one."""
    rates = (("star", 400), ("racks", 750), ("star", 750), ("racks", 1_500), ("star", 1_500))
    return [*(over(load, kind, mbps) for kind, mbps in rates), over(load, "racks", 3_000), load]
