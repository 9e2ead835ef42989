"""A learning rate of its own for each row: that of the least loss on validation samples.

Some rows are trained at every rate with a seed or two. Those that are like them in what is trained,
and those that differ in the number of steps alone, take over what was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.generalist.plan import Job
from experiments.generalist.rows import ROWS

SEEDS = {
    **dict.fromkeys(("A", "B", "C", "E", "F", "G", "I"), (0, 1)),
    **dict.fromkeys(("B-30", "E-30", "B-qwen-0.5b", "E-qwen-0.5b"), (0,)),
}
"""Seeds of the search by row."""
LIKE = {
    **dict.fromkeys(("B-long", "B-no-token", "B-rank-8", "D"), "B"),
    **dict.fromkeys(("G-long", "G-no-token", "G-root"), "G"),
    "E-no-token": "E",
    "F-long": "F",
    **{f"{row}-{blocks}": row for row in ("B", "E") for blocks in (4, 16)},
    **{f"{row}-qwen-1.5b": f"{row}-qwen-0.5b" for row in ("B", "E")},
}
"""Whose rate other rows take."""


def label_of(job: Job) -> str:
    """The row, with the task of a specialist, whose search decides; empty where none does."""
    row = LIKE.get(job.row, job.row)
    if job.kind == "merge" or row not in SEEDS:
        return ""
    return f"{row}-{job.tasks[0]}" if ROWS[row].alone else row


def name_of(label: str, rate: float, seed: int) -> str:
    """Of a run of the search."""
    return f"rate-{label}@{rate:g}/{seed}"


def searches(job: Job, rates: Sequence[float]) -> list[Job]:
    """The runs that find the rate of a run."""
    label, row = label_of(job), LIKE.get(job.row, job.row)
    return [
        Job(name_of(label, rate, seed), "rate", row, seed, job.tasks, rate=rate)
        for rate in rates
        for seed in SEEDS.get(row, ())
        if label
    ]


def with_searches(jobs: Iterable[Job], rates: Sequence[float]) -> list[Job]:
    """The same runs in the same order, each after those that find its rate."""
    found: dict[str, Job] = {}
    for job in jobs:
        before = searches(job, rates)
        found |= {one.name: one for one in before if one.name not in found}
        found[job.name] = replace(job, needs=(*job.needs, *(one.name for one in before)))
    return list(found.values())


def best_rate(records: Iterable[dict[str, Any]]) -> float:
    """The rate whose runs have the least loss, in the mean over seeds. Raises ValueError where all
    failed.
    """
    losses: defaultdict[float, list[float]] = defaultdict(list)
    for record in records:
        if "failed" not in record:
            losses[record["rate"]].append(record["best_loss"])
    return min(losses, key=lambda rate: float(np.mean(losses[rate])))
