"""Options that several commands of ``tbtest traces`` share."""

from collections.abc import Callable

import click


def from_format(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how a file is read."""
    option = click.option(
        "--from",
        "--trace-format",
        "source_format",
        metavar="FORMAT|FILE.py:CLASS",
        help="Format of the file (`tbtest traces formats`), or your own class, whose file is run; "
        "found by content if left out.",
    )
    return option(command)


time_scale_option = click.option(
    "--time-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the times: 0.001 for ms read as seconds.",
)
as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a program to read."
)
