"""Which kinds of jobs are trained, validated and tested on: split by query, so that no graph of the
test was seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from policy.errors import PolicyError
from policy.tasks.cjs.job import Job

_EVERY = 5
_VALIDATION, _TEST = 1, 3


class Split(NamedTuple):
    """Indices of jobs."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_by_query(jobs: Sequence[Job]) -> Split:
    """Queries in order of their mean work; of every five the second validates and the fourth tests.

    All sizes of a query, and queries of the same graph, are on one side. Raises PolicyError for
    fewer than four different graphs.
    """
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        groups[tuple(stage.parents for stage in job.stages)].append(number)
    # A query whose sizes have different graphs joins their groups.
    by_query: dict[int, list[int]] = {}
    for members in groups.values():
        known = [by_query[q] for q in {jobs[m].query for m in members} if q in by_query]
        merged = sorted({number for group in known for number in group} | set(members))
        for query in {jobs[number].query for number in merged}:
            by_query[query] = merged
    distinct = {tuple(members) for members in by_query.values()}

    def mean_work_ms(members: tuple[int, ...]) -> float:
        return sum(work_ms(jobs[number]) for number in members) / len(members)

    ranked = sorted(distinct, key=lambda members: (mean_work_ms(members), members))
    if len(ranked) <= _TEST:
        raise PolicyError(f"{len(ranked)} queries of different graphs; give at least {_TEST + 1}")
    sides: dict[int, list[int]] = {_VALIDATION: [], _TEST: []}
    train: list[int] = []
    for rank, ranked_members in enumerate(ranked):
        sides.get(rank % _EVERY, train).extend(ranked_members)
    return Split(*(tuple(sorted(side)) for side in (train, sides[_VALIDATION], sides[_TEST])))


def work_ms(job: Job) -> float:
    """Tasks times their mean time, summed over the stages."""
    return sum(stage.tasks * stage.mean_ms() for stage in job.stages)


def mean_gap_ms(jobs: Sequence[Job], kinds: Sequence[int], executors: int, load: float) -> float:
    """The mean gap between arrivals at which jobs of these kinds make that load."""
    work = sum(work_ms(jobs[kind]) for kind in kinds) / len(kinds)
    return work / (executors * load)
