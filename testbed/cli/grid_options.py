"""Options that the commands which run a grid share: league, collect and stress."""

from pathlib import Path

import click

grid_argument = click.argument(
    "grid_file", metavar="[GRID.yaml]", required=False, type=click.Path(path_type=Path)
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any key of the grid; may be repeated.",
)
virtual_option = click.option(
    "--virtual",
    is_flag=True,
    help="In virtual time (see `tbtest run --help`): exact, repeatable, without root.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="List what would run, and stop.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the outcome as JSON and show no progress."
)
