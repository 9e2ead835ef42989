"""How long a task takes: drawn from the job's profile, the same for a seed whatever the policy did
before.
"""

from __future__ import annotations

import numpy as np

from policy.tasks.cjs.catalogue import LEVEL_SIZE, LEVELS, LEVELS_END, TASKS
from policy.tasks.cjs.job import IntArray
from policy.tasks.cjs.simulator.jit import inner
from policy.tasks.cjs.simulator.layout import (
    AT_JOB,
    BUSY,
    COMPAT,
    COMPUTE_MS,
    EVENT,
    EXTRA,
    KIND,
    LEFT_BYTES,
    LOCAL,
    NEVER,
    NOW,
    NOWHERE,
    REMAINING,
    SEED,
    STARTED,
    TARGET,
    TASK_OF,
    WARMUP_MS,
    WAVE,
    WAVE_LENGTH,
    Cluster,
)

_FRESH, _FIRST, _REST = 0, 1, 2
# Where decima-sim, spark-sched-sim and NetLLM interpolate, whatever levels a profile has.
_COMPAT_LEVELS = np.array([5, 10, 20, 40, 50, 60, 80, 100], np.int64)
_LOWEST_LEVEL = 5


@inner
def uniform(seed: int, stage: int, task: int, draw: int) -> float:
    """A number in [0, 1) for these four, by the finaliser of SplitMix64 (Steele et al., OOPSLA
    2014).
    """
    x = np.uint64(seed)
    for value in (stage, task, draw):
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(value) + np.uint64(0x632BE59BD9B4E019)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) * 2.0**-53


@inner
def draw_level(cluster: Cluster, kind: int, local: int, chance: float) -> int:
    """Place in ``flat`` of the level for so many local executors, drawn linearly between two
    levels.
    """
    flat = cluster.flat
    first, last = cluster.kind[kind, LEVELS], cluster.kind[kind, LEVELS_END] - LEVEL_SIZE
    if cluster.scalar[COMPAT]:
        return _compat_level(cluster, first, last, local, chance)
    while first < last and flat[first] < _LOWEST_LEVEL:
        first += LEVEL_SIZE
    while first < last and flat[first + LEVEL_SIZE] <= local:
        first += LEVEL_SIZE
    low = flat[first]
    if local <= low or first == last:
        return int(first)
    high = flat[first + LEVEL_SIZE]
    return int(first + LEVEL_SIZE if chance * (high - low) < local - low else first)


@inner
def _compat_level(cluster: Cluster, first: int, last: int, local: int, chance: float) -> int:
    at = 0
    while at < len(_COMPAT_LEVELS) - 1 and _COMPAT_LEVELS[at + 1] <= local:
        at += 1
    wanted = _COMPAT_LEVELS[at]
    if local > wanted and at < len(_COMPAT_LEVELS) - 1:
        high = _COMPAT_LEVELS[at + 1]
        # The published rule: the nearer the upper level, the likelier the lower one.
        if 1 + int(chance * (high - wanted)) > local - wanted:
            wanted = high
    for level in range(first, last + 1, LEVEL_SIZE):
        if cluster.flat[level] == wanted:
            return int(level)
    return int(last)


@inner
def draw_task_ms(cluster: Cluster, number: int, stage: int) -> int:
    """Time of the next task of the stage on this executor; remembers what it was drawn from."""
    flat, executor = cluster.flat, cluster.executor
    task, seed = cluster.stage[stage, REMAINING], cluster.scalar[SEED]
    local = cluster.job[executor[number, AT_JOB], LOCAL]
    level = draw_level(cluster, cluster.stage[stage, KIND], local, uniform(seed, stage, task, 0))
    last = executor[number, TASK_OF]
    order = (_FRESH, _FIRST, _REST)
    if last == stage:
        order = (_REST, _FIRST, _FRESH)
    elif last != NOWHERE:
        order = (_FIRST, _FRESH, _REST)
    wave = order[0]
    for wave in order:
        if flat[level + 1 + wave] < flat[level + 2 + wave]:
            break
    start, end = flat[level + 1 + wave], flat[level + 2 + wave]
    executor[number, EXTRA] = cluster.scalar[WARMUP_MS] if last == NOWHERE and wave != _FRESH else 0
    executor[number, WAVE], executor[number, WAVE_LENGTH] = start, end - start
    chosen = int(uniform(seed, stage, task, 1) * (end - start))
    return int(flat[start + chosen] + executor[number, EXTRA])


@inner
def redraw_running(cluster: Cluster, seed: int) -> None:
    """Draw the ends of running tasks anew, given that they have not ended; later tasks from
    ``seed``.
    """
    now = cluster.scalar[NOW]
    cluster.scalar[SEED] = seed
    for number in range(len(cluster.executor)):
        state = cluster.executor[number]
        if not state[BUSY] or state[EVENT] <= now:
            continue
        fetching = cluster.fetch[number, LEFT_BYTES] > 0
        elapsed = -1 if fetching else now - state[STARTED] - state[EXTRA]
        times = cluster.flat[state[WAVE] : state[WAVE] + state[WAVE_LENGTH]]
        later = 0
        for value in times:
            later += value > elapsed
        chosen = int(uniform(seed, state[TARGET], number, 2) * later)
        for value in times:
            if value > elapsed:
                if chosen == 0:
                    if fetching:
                        cluster.fetch[number, COMPUTE_MS] = state[EXTRA] + value
                    else:
                        state[EVENT] = state[STARTED] + state[EXTRA] + value
                    break
                chosen -= 1


@inner
def least_times(cluster: Cluster, times_ms: IntArray) -> int:
    """Fill ``times_ms`` [stages, 2]: the least that all tasks of a stage take together, and the
    least that the longest of them takes, whatever is decided; returns the number of stages.

    A task draws the same chance under every policy; at every level and wave the chance picks a
    time.
    """
    flat = cluster.flat
    for stage in range(len(cluster.stage)):
        kind = cluster.stage[stage, KIND]
        first, last = cluster.kind[kind, LEVELS], cluster.kind[kind, LEVELS_END] - LEVEL_SIZE
        while first < last and flat[first] < _LOWEST_LEVEL:
            first += LEVEL_SIZE
        total, longest = 0, 0
        for task in range(1, cluster.kind[kind, TASKS] + 1):
            chance = uniform(cluster.scalar[SEED], stage, task, 1)
            least = NEVER
            for level in range(first, last + 1, LEVEL_SIZE):
                for wave in range(3):
                    start, end = flat[level + 1 + wave], flat[level + 2 + wave]
                    if start < end:
                        least = min(least, flat[start + int(chance * (end - start))])
            total += least
            longest = max(longest, least)
        times_ms[stage, 0], times_ms[stage, 1] = total, longest
    return len(cluster.stage)
