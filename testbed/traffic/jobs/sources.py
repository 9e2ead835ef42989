"""Where a task's input lies. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def shares(size_bytes: int, held: Sequence[Counter[int]]) -> dict[int, int]:
    """Bytes to fetch from each worker's host, ``size_bytes`` in all.

    held: for each parent stage, how many of its tasks ran on which worker. Parents give equal
    parts, and so do the tasks of a parent.
    """
    parents = [tasks for tasks in held if tasks]
    if size_bytes <= 0 or not parents:
        return {}
    wanted: dict[int, float] = {}
    for tasks in parents:
        part = size_bytes / len(parents) / tasks.total()
        for worker, count in tasks.items():
            wanted[worker] = wanted.get(worker, 0.0) + part * count
    # Rounded so that the sum is kept.
    found, before, total = {}, 0, 0.0
    for worker in sorted(wanted):
        total += wanted[worker]
        upto = round(total)
        found[worker] = upto - before
        before = upto
    return {worker: size for worker, size in found.items() if size > 0}
