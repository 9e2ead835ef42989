"""Flags of the commands that judge expectations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


def expect_options(command: Command) -> Command:
    """Decorator: --expect, --junit and --summary."""
    for add in reversed(
        (
            click.option(
                "--expect",
                multiple=True,
                metavar="EXPRESSION",
                help="What must hold: 'policy.stall_200 <= 0.7 * bbr.stall_200'; exit status 1 "
                "where it fails, 3 where the data cannot tell. May be repeated.",
            ),
            click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML of them."),
            click.option(
                "--summary", type=_FILE, metavar="FILE", help="Append a Markdown table of them."
            ),
        )
    ):
        command = add(command)
    return command
