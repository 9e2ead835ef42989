"""Tasks that share one backbone: each brings its encoder, head, loss and measures.

To add a task, write a module with a class that satisfies `Task` and enter it in `_TASKS`.
"""

from __future__ import annotations

from policy.model.errors import ModelError
from policy.tasks.base import Task
from policy.tasks.congestion.task import CongestionTask

_TASKS: dict[str, Task] = {"congestion": CongestionTask()}


def task(name: str) -> Task:
    """The task of that name; ModelError names those known."""
    try:
        return _TASKS[name]
    except KeyError:
        raise ModelError(f"unknown task {name!r}; known: {', '.join(sorted(_TASKS))}") from None
