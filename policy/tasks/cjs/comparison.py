"""Policies compared on the same sequences: completion times, and paired ratios with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.tasks.cjs.catalogue import Catalogue
from policy.tasks.cjs.environment import ClusterEnvironment, run_many
from policy.tasks.cjs.job import FloatArray
from policy.tasks.cjs.network import NO_NETWORK, Network
from policy.tasks.cjs.play import load_player, play
from policy.tasks.cjs.policies.registry import RulePolicy
from policy.tasks.cjs.sequences import Arrivals
from policy.tasks.cjs.simulator.layout import Settings

_RESAMPLES = 10_000
_SEED = 20_251_211


@dataclass(frozen=True)
class Outcome:
    """A policy on all sequences: mean and 95th percentile of job completion time, each [sequences],
    in s.
    """

    policy: str
    mean_s: FloatArray
    p95_s: FloatArray


@dataclass(frozen=True)
class Ratio:
    """Mean over sequences of (mean JCT / that of the baseline on the same sequence); 95 %
    interval.
    """

    ratio: float
    low: float | None
    high: float | None


def simulate(
    catalogue: Catalogue,
    sequences: Sequence[Arrivals],
    policies: Sequence[RulePolicy | Path],
    settings: Settings,
    seed: int,
    threads: int,
    network: Network = NO_NETWORK,
) -> list[Outcome]:
    """Each policy on each sequence; sequence i draws its task times with ``seed + i`` under every
    one. The path of a checkpoint stands for its model, which takes the likeliest action.
    """
    outcomes = []
    for one in policies:
        environments = [
            ClusterEnvironment(catalogue, arrivals, settings, seed + number, network=network)
            for number, arrivals in enumerate(sequences)
        ]
        if isinstance(one, Path):
            name, times_ms = "policy", play(load_player(one), environments)
        else:
            name, times_ms = one.name, run_many(environments, one, threads)
        outcomes.append(
            Outcome(
                name,
                np.array([times.mean() / 1e3 for times in times_ms]),
                np.array([np.percentile(times, 95) / 1e3 for times in times_ms]),
            )
        )
    return outcomes


def paired_ratio(values: FloatArray, baseline: FloatArray) -> Ratio:
    """Ratio of pairs, percentile bootstrap over the pairs (Efron 1979); no interval from fewer than
    three.
    """
    ratios = values / baseline
    if len(ratios) < 3:
        return Ratio(float(ratios.mean()), None, None)
    random = np.random.Generator(np.random.PCG64(_SEED))
    drawn = random.integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.percentile(ratios[drawn].mean(axis=1), [2.5, 97.5])
    return Ratio(float(ratios.mean()), float(low), float(high))
