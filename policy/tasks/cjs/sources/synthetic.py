"""Generated jobs: stages of lognormal task times that grow with parallelism, and shuffles between
them.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.cjs.job import Job, Level, Stage

# Work of a job at so many executors, relative to 5, in the mean over measured TPC-H profiles.
INFLATION = {5: 1.0, 10: 1.12, 20: 1.34, 40: 1.82, 50: 2.05, 60: 2.31, 80: 2.85, 100: 3.46}
SIZES_GB = (2, 5, 10, 20, 50, 80, 100)

_STAGES = (2, 18)
_MAX_PARENTS = 3
_TASKS = (1, 3, 200)
_TASK_CHANCES = (0.4, 0.35, 0.25)
_MEDIAN_TASK_MS = 480.0
_STAGE_SIGMA, _TASK_SIGMA = 0.6, 0.3
_WARM_UP_MS = 1_000.0
_SAMPLES = 16
_INPUT_BYTES_PER_GB = 50e6


def generate_jobs(seed: int, queries: int = 20) -> list[Job]:
    """So many queries, each at every size of SIZES_GB; the sizes of a query share their graph.

    The work of a stage grows with the square root of the size. The same seed gives the same jobs.
    """
    return [
        job
        for query in range(1, queries + 1)
        for job in _query(query, np.random.default_rng([seed, query]))
    ]


def _query(query: int, random: np.random.Generator) -> list[Job]:
    count = int(random.integers(_STAGES[0], _STAGES[1] + 1))
    parents: list[tuple[int, ...]] = []
    for number in range(count):
        wanted = int(random.integers(0, min(number, _MAX_PARENTS) + 1))
        parents.append(
            tuple(sorted(int(p) for p in random.choice(number, wanted, replace=False)))
            if wanted
            else ()
        )
    # The last stage waits for all stages without children, as the result of a query does, up to the
    # most parents.
    last = count - 1
    loose = [stage for stage in range(last) if not any(stage in some for some in parents)]
    parents[last] = tuple(sorted(loose[-_MAX_PARENTS:])) or (last - 1,)
    tasks = random.choice(_TASKS, count, p=_TASK_CHANCES)
    median_ms = _MEDIAN_TASK_MS * random.lognormal(0, _STAGE_SIGMA, count)
    jobs = []
    for size_gb in SIZES_GB:
        scale = np.sqrt(size_gb / 20)
        stages = [
            _stage(random, parents[n], int(tasks[n]), float(median_ms[n] * scale), size_gb)
            for n in range(count)
        ]
        jobs.append(Job(query, size_gb, tuple(stages)))
    return jobs


def _stage(
    random: np.random.Generator,
    parents: tuple[int, ...],
    tasks: int,
    median_ms: float,
    size_gb: int,
) -> Stage:
    levels = []
    for executors, inflation in INFLATION.items():
        times_ms = median_ms * inflation * random.lognormal(0, _TASK_SIGMA, (3, _SAMPLES))
        times_ms[0] += _WARM_UP_MS
        fresh, first, rest = np.rint(times_ms).astype(np.int64)
        levels.append(Level(executors, fresh, first, rest))
    shuffled = _INPUT_BYTES_PER_GB * size_gb * random.lognormal(-1, 1) if parents else 0
    return Stage(parents, tasks, tuple(levels), int(shuffled / tasks))
