"""Commands that a task may replace: `tbtest VERB --task NAME` runs the task's own, if any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from policy.tasks.registry import DEFAULT, task

F = TypeVar("F", bound=Callable[..., Any])


class TaskCommand(click.Command):
    """A command with an option `--task`; the options of a task's own command are its own."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        assert self.name is not None
        name, others = _without_task(args)
        if name is not None:
            own = task(name).command(self.name)
            if own is not None:
                context: click.Context = own.make_context(info_name, others, parent, **extra)
                return context
        return super().make_context(info_name, args, parent, **extra)


def task_option() -> Callable[[F], F]:
    """`--task NAME`."""
    return click.option(
        "--task",
        "task_name",
        default=DEFAULT,
        show_default=True,
        metavar="NAME",
        help="The task; or path/to/file.py:Class, which runs that file. A task may have options of "
        "its own: see --task NAME --help.",
    )


def _without_task(args: list[str]) -> tuple[str | None, list[str]]:
    """The value of --task, and the other arguments; options after `--` are arguments."""
    end = args.index("--") if "--" in args else len(args)
    for index, text in enumerate(args[:end]):
        if text == "--task" and index + 1 < end:
            return args[index + 1], args[:index] + args[index + 2 :]
        if text.startswith("--task="):
            return text.partition("=")[2], args[:index] + args[index + 1 :]
    return None, args
