"""Jobs of fewer, longer tasks, for clusters whose tasks are processes of a real machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policy.tasks.cjs.job import MAX_TASK_MS, IntArray, Job, Level, Stage


def merged(job: Job, most_tasks: int) -> Job:
    """The job with at most so many tasks a stage, of the same work and bytes. A task stands for
    several and takes their time together, at least 1 ms.
    """
    return replace(job, stages=tuple(_merged(stage, most_tasks) for stage in job.stages))


def _merged(stage: Stage, most_tasks: int) -> Stage:
    tasks = min(stage.tasks, most_tasks)
    if tasks == stage.tasks and all(int(one.all_ms().min()) >= 1 for one in stage.levels):
        return stage
    share = stage.tasks / tasks

    def longer(times_ms: IntArray) -> IntArray:
        whole: IntArray = np.clip(np.rint(times_ms * share), 1, MAX_TASK_MS).astype(np.int64)
        return whole

    levels = tuple(
        Level(one.executors, longer(one.fresh_ms), longer(one.first_ms), longer(one.rest_ms))
        for one in stage.levels
    )
    shuffled = min(round(stage.shuffle_bytes_per_task * share), 10**12)
    return Stage(stage.parents, tasks, levels, shuffled)
