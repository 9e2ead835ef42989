"""Arrival sequences: which job arrives when; read from JSON, or drawn from a Poisson or bursty
process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.job import IntArray, Job

MAX_JOBS = 100_000
MAX_ARRIVAL_MS = 10**10


@dataclass(frozen=True)
class Arrivals:
    """Jobs in order of arrival: ``arrival_ms`` [jobs], the first 0, and ``kind`` [jobs], an index
    of a job.
    """

    name: str
    arrival_ms: IntArray
    kind: IntArray

    def __len__(self) -> int:
        return len(self.arrival_ms)


def read_arrivals(path: Path, jobs: Sequence[Job]) -> Arrivals:
    """A JSON list of [arrival_ms, query, size_gb]. Raises PolicyError naming file and entry."""
    kinds = {(job.query, job.size_gb): index for index, job in enumerate(jobs)}
    try:
        entries = json.loads(path.read_text())
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise PolicyError(
            f"{path}: not JSON; give a list of [arrival_ms, query, size_gb]"
        ) from None
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_JOBS:
        raise PolicyError(
            f"{path}: give a JSON list of 1 to {MAX_JOBS} [arrival_ms, query, size_gb]"
        )
    last_ms = 0
    times, chosen = [], []
    for number, entry in enumerate(entries):
        whole = isinstance(entry, list) and all(type(value) is int for value in entry)
        if not whole or len(entry) != 3:
            raise PolicyError(
                f"{path}: entry {number} is no [arrival_ms, query, size_gb] of whole numbers"
            )
        arrival_ms, query, size_gb = entry
        if not last_ms <= arrival_ms <= MAX_ARRIVAL_MS or (number == 0 and arrival_ms != 0):
            raise PolicyError(
                f"{path}: entry {number} arrives at {arrival_ms} ms; start at 0 and do not fall"
            )
        if (query, size_gb) not in kinds:
            raise PolicyError(
                f"{path}: entry {number}: no profile of query {query} at {size_gb} GB"
            )
        last_ms = arrival_ms
        times.append(arrival_ms)
        chosen.append(kinds[query, size_gb])
    return Arrivals(path.stem, np.array(times, np.int64), np.array(chosen, np.int64))


def poisson(
    seed: int, kinds: Sequence[int], count: int = 200, mean_gap_ms: float = 25_000
) -> Arrivals:
    """Jobs after exponential gaps, each of a kind drawn from ``kinds`` with equal chances."""
    random = np.random.default_rng([seed, 0])
    gaps = random.exponential(mean_gap_ms, count - 1)
    return _drawn(f"poisson-{seed}", gaps, kinds, random)


def bursty(
    seed: int,
    kinds: Sequence[int],
    count: int = 200,
    mean_gap_ms: float = 25_000,
    mean_burst: float = 5,
    gap_in_burst_ms: float = 1_000,
) -> Arrivals:
    """Bursts of geometric size with short gaps inside; the mean gap over all jobs is
    ``mean_gap_ms``.

    Raises PolicyError if gaps in a burst leave no time between bursts.
    """
    between_ms = mean_burst * mean_gap_ms - (mean_burst - 1) * gap_in_burst_ms
    if mean_burst < 1 or between_ms <= 0:
        raise PolicyError(
            f"bursts of {mean_burst} jobs each {gap_in_burst_ms} ms do not fit {mean_gap_ms} ms"
        )
    random = np.random.default_rng([seed, 1])
    ends = random.random(count - 1) < 1 / mean_burst
    gaps = random.exponential(np.where(ends, between_ms, gap_in_burst_ms))
    return _drawn(f"bursty-{seed}", gaps, kinds, random)


def _drawn(
    name: str,
    gaps_ms: np.ndarray[tuple[int], np.dtype[np.float64]],
    kinds: Sequence[int],
    random: np.random.Generator,
) -> Arrivals:
    arrival_ms = np.concatenate([[0], np.cumsum(np.rint(gaps_ms))]).astype(np.int64)
    return Arrivals(name, arrival_ms, random.choice(np.asarray(kinds, np.int64), len(arrival_ms)))
