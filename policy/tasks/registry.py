"""The tasks by name: the one place that names them.

To add a task, write a folder with a class that satisfies `policy.tasks.base.Task` and enter the
class in `_TASKS`; README.md of this folder shows how. A user's own is named `path/to/file.py:Class`
on the command line.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from plugins import is_reference, load_class
from policy.errors import PolicyError
from policy.tasks.base import LearnedTask, Task

DEFAULT = "congestion"
SEVERAL = "several"
"""Beside the tasks' names: of checkpoints that serve more than one."""
_TASKS = {
    "congestion": "policy.tasks.congestion.task:CongestionTask",
    "abr": "policy.tasks.abr.task:AbrTask",
    "cjs": "policy.tasks.cjs.task:CjsTask",
}
_loaded: dict[str, Task] = {}


def names() -> tuple[str, ...]:
    """Of all tasks of ours."""
    return tuple(_TASKS)


def task(name: str) -> Task:
    """The task of that name, or of that `path/to/file.py:Class`, whose file this runs.

    A user's own task is known by its own name too from then on, in this process.

    Raises:
        PolicyError: there is no such task; the message names those known.
    """
    if name in _loaded:
        return _loaded[name]
    if is_reference(name):
        return _own(name)
    if name not in _TASKS:
        raise PolicyError(f"unknown task {name!r}; known: {', '.join(sorted(_TASKS))}")
    module, _, attribute = _TASKS[name].partition(":")
    made: Task = getattr(importlib.import_module(module), attribute)()
    _loaded[name] = made
    return made


def learned_task(name: str) -> LearnedTask:
    """The same, of a task that a model can decide. Raises PolicyError."""
    made = task(name)
    if not isinstance(made, LearnedTask):
        raise PolicyError(f"task {name!r} has no model to train or to serve")
    return made


def checkpoint_folders() -> dict[str, Path]:
    """Where the checkpoints of each task, and of several, lie that ship with the project."""
    here = Path(__file__).parent
    return {name: here / name / "checkpoints" for name in _TASKS} | {SEVERAL: here / "checkpoints"}


def _own(reference: str) -> Task:
    made = load_class(reference, Task, "task", PolicyError)()
    if made.name in _TASKS:
        raise PolicyError(f"{reference}: the name {made.name!r} is taken; choose another")
    _loaded[reference] = _loaded[made.name] = made
    return made
