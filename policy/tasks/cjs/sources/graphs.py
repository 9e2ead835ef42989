"""Job graphs as clusters' traces have them: JSON lines, one job each.

    {"job": "j_1", "tasks": [{"name": "M1", "parents": [], "instances": 3, "duration": 10.8}, ...]}

A task of the file is a stage of so many equal tasks (instances), each of `duration` seconds;
further keys are ignored. How task times depend on parallelism is not known: all levels are the
same. The structure (graphs, widths, sizes) is what such files are good for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policy.errors import PolicyError
from policy.tasks.cjs.job import MAX_TASK_MS, Job, Level, Stage

MAX_JOBS = 100_000
_NONE = np.zeros(0, np.int64)


def read_graphs(path: Path) -> list[Job]:
    """The jobs of a file, numbered as queries from 1 in their order, of size 1. Raises PolicyError
    naming file, line, job and task for what is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError(f"{path}: no text; give job graphs as JSON lines") from None
    if not 0 < len(lines) <= MAX_JOBS:
        raise PolicyError(f"{path}: {len(lines)} lines; give 1 to {MAX_JOBS} jobs, one a line")
    return [_job(f"{path}, line {number}", number, line) for number, line in enumerate(lines, 1)]


def _job(where: str, number: int, line: str) -> Job:
    try:
        record = json.loads(line)
    except ValueError:
        raise PolicyError(f"{where}: not JSON; give one object a line") from None
    tasks = record.get("tasks") if isinstance(record, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise PolicyError(f"{where}: no list of tasks")
    where = f"{where}: job {str(record.get('job', number))[:100]}"
    numbers = {str(task.get("name")): at for at, task in enumerate(tasks)}
    if len(numbers) != len(tasks):
        raise PolicyError(f"{where}: two tasks have the same name")
    stages = tuple(_stage(f"{where}, task {task.get('name')}", task, numbers) for task in tasks)
    try:
        return Job(number, 1, stages)
    except PolicyError as error:
        raise PolicyError(f"{where}: {error}") from None


def _stage(where: str, task: Mapping[str, Any], numbers: Mapping[str, int]) -> Stage:
    parents, count, duration_s = (task.get(key) for key in ("parents", "instances", "duration"))
    if not isinstance(parents, list) or type(count) is not int:
        raise PolicyError(f"{where}: give parents, a list of names, and instances, a whole number")
    unknown = [str(name) for name in parents if str(name) not in numbers]
    if unknown:
        raise PolicyError(f"{where}: parent {unknown[0][:100]} is no task of the job")
    is_number = isinstance(duration_s, int | float) and math.isfinite(duration_s)
    duration_ms = 1000 * float(duration_s or 0) if is_number else -1.0
    if not 0 <= duration_ms <= MAX_TASK_MS:
        raise PolicyError(f"{where}: duration {duration_s!r}; give 0 to {MAX_TASK_MS // 1000} s")
    times_ms = np.array([max(1, round(duration_ms))], np.int64)
    level = Level(1, _NONE, times_ms, times_ms)
    return Stage(tuple(numbers[str(name)] for name in parents), count, (level,))
