"""Simulated experience for congestion control, of all three splits.

    python -m experiments.generalist.congestion_data --out data/congestion

`tbtest collect --simulated` leaves validation and test traces to live runs. Here models are
compared with each other in the simulator alone, so that their open-loop errors come from it, too.
"""

from __future__ import annotations

from pathlib import Path

import click

from testbed.collect.collection import plan
from testbed.collect.grid import make_grid
from testbed.collect.simulated import Simulated, left, run_simulated, simulable
from testbed.mappings import read_yaml

GRID = Path(__file__).with_name("congestion.yaml")


@click.command()
@click.option("--grid", "file", type=click.Path(path_type=Path), default=GRID)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True)
def main(file: Path, out: Path, processes: int) -> None:
    """Simulate the scenarios of the grid that have no part in OUT yet."""
    collection = plan(make_grid(read_yaml(file), str(file)), (), out)
    collection.write()
    possible = [
        run for run in collection.runs if simulable([run.model_copy(update={"split": "train"})])
    ]
    rows = 0

    def ended(batch: Simulated) -> None:
        nonlocal rows
        rows += batch.rows
        click.echo(f"{batch.runs} scenarios, {rows} windows")

    run_simulated(left(possible, out), out, ended, processes=processes)


if __name__ == "__main__":
    main()
