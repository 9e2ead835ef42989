"""``tbtest collect``: experience for training."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.cli.by_task import TaskCommand, task_option
from testbed.cli.grid_options import dry_run_option, grid_argument, json_option, virtual_option

if TYPE_CHECKING:
    from policy.tasks.base import Split
    from testbed.collect.collection import Collection
    from testbed.grid.worker import Way


@click.command(cls=TaskCommand)
@grid_argument
@task_option()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the dataset.",
)
@click.option(
    "--cc",
    "--controllers",
    "--schemes",
    "controllers",
    metavar="NAMES",
    help="Controllers to collect under, instead of the grid's: observe:bbr,policy:gcc,...",
)
@click.option(
    "--traces",
    multiple=True,
    metavar="GLOB",
    help="Further source traces: a name, file or pattern; may be repeated.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Scenarios that run at the same time; default: one for every two cores, --virtual: each "
    "core.",
)
@virtual_option
@click.option(
    "--keep-runs", is_flag=True, help="Keep the run folders under OUT/runs, logs and all."
)
@click.option(
    "--simulated",
    is_flag=True,
    help="Simulate what can be, instead of running it: minutes, no root.",
)
@click.option(
    "--all-splits",
    is_flag=True,
    help="With --simulated: traces for validation and test as well, not for training alone.",
)
@dry_run_option
@json_option
def collect(
    grid_file: Path | None,
    task_name: str,
    out: Path,
    controllers: str | None,
    traces: tuple[str, ...],
    jobs: int | None,
    virtual: bool,
    keep_runs: bool,
    simulated: bool,
    all_splits: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a grid of scenarios and write the experience as a dataset for `tbtest train`.

    Every combination of trace, round trip, buffer and traffic that the grid names is run under each
    of its controllers. The same command again goes on where it stopped. Needs root, but for
    --virtual and --simulated. Without GRID.yaml, a grid of the bundled traces.

    \b
        tbtest collect grids/collect.yaml --out experience --jobs 8
        tbtest collect grids/collect.yaml --traces 'recorded/*/*.csv' --out experience
        tbtest train experience --model gru --out gru
    """
    from policy.tasks.registry import DEFAULT
    from policy.tasks.splits import SPLITS
    from testbed.errors import UserError

    if task_name != DEFAULT:
        raise UserError(f"--task {task_name}: this task has no command to collect experience")
    from testbed.collect.collection import plan
    from testbed.collect.grid import make_grid
    from testbed.grid.worker import Way
    from testbed.mappings import read_yaml

    data = read_yaml(grid_file) if grid_file is not None else {}
    if controllers is not None:
        data["controllers"] = [name.strip() for name in controllers.split(",")]
    grid = make_grid(data, str(grid_file or "command line"))
    collection = plan(grid, traces, out)
    if dry_run:
        click.echo(
            json.dumps(_planned(collection), indent=1) if as_json else _plan_text(collection)
        )
        return
    if simulated and virtual:
        raise UserError("--simulated and --virtual are two ways to collect; leave one of them out")
    jobs = jobs or max(1, (os.cpu_count() or 1) // (1 if virtual else 2))
    if simulated:
        _simulate(collection, jobs, as_json, SPLITS if all_splits else ("train",))
    else:
        _run(collection, jobs, Way(keep_run=keep_runs, virtual=virtual), as_json)


def _simulate(
    collection: Collection, processes: int, as_json: bool, splits: Sequence[Split]
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from testbed.collect.simulated import Simulated, left, run_simulated, simulable

    collection.write()
    possible = simulable(collection.runs, splits)
    todo, rows = left(possible, collection.out), 0
    console = Console(stderr=True, quiet=as_json)
    with Progress(console=console, disable=as_json) as progress:
        total = progress.add_task("simulating", total=len(todo))

        def ended(batch: Simulated) -> None:
            nonlocal rows
            rows += batch.rows
            progress.update(total, advance=batch.runs)

        run_simulated(todo, collection.out, ended, processes=processes)
    result = {"dataset": str(collection.out), "scenarios": len(possible), "new_rows": rows}
    result |= {"done_before": len(possible) - len(todo), "failed": 0}
    click.echo(json.dumps(result) if as_json else _result_text(result))


def _run(collection: Collection, jobs: int, way: Way, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from testbed.collect.spread import Outcome, run_collection
    from testbed.errors import UserError
    from testbed.run.prepared import require_root
    from testbed.system.scope import Scope

    if way.virtual:
        from testbed.virtual import kernel

        kernel.ready(None, lambda line: None if as_json else click.echo(line, err=True))
    else:
        require_root()
    collection.write()
    left = collection.left
    rows, failures = 0, []
    console = Console(stderr=True, quiet=as_json)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]} rows, {task.fields[failed]} failed"),
        TimeRemainingColumn(),
    )
    with Scope() as scope, Progress(*columns, console=console, disable=as_json) as progress:
        done = len(collection.runs) - len(left)
        total = progress.add_task(
            "scenarios", total=len(collection.runs), completed=done, rows=rows, failed=0
        )

        def ended(outcome: Outcome) -> None:
            nonlocal rows
            rows += outcome.rows
            if outcome.error is not None:
                failures.append(f"{outcome.run.id}: {outcome.error}")
                console.print(
                    f"{outcome.run.id} failed: {outcome.error}", highlight=False, markup=False
                )
            elif not console.is_terminal:
                console.print(f"{outcome.run.id}: {outcome.rows} rows", highlight=False)
            progress.update(total, advance=1, rows=rows, failed=len(failures))

        run_collection(
            scope,
            left,
            collection.out,
            workers=jobs,
            way=way,
            on_start=lambda run: progress.update(total, description=run.source_trace),
            on_end=ended,
        )
    result = {
        "dataset": str(collection.out),
        "scenarios": len(collection.runs),
        "done_before": len(collection.runs) - len(left),
        "failed": len(failures),
        "new_rows": rows,
    }
    click.echo(json.dumps(result) if as_json else _result_text(result))
    if failures:
        raise UserError(
            f"{len(failures)} of {len(left)} scenarios failed; the first: {failures[0]}; "
            "the same command tries them again"
        )


def _result_text(result: dict[str, Any]) -> str:
    return (
        f"{result['dataset']}: {result['new_rows']} new rows of "
        f"{result['scenarios'] - result['done_before']} "
        f"scenarios, {result['done_before']} done before, {result['failed']} failed"
    )


def _planned(collection: Collection) -> dict[str, Any]:
    left = {run.id for run in collection.left}
    return {
        "traces": {
            source.name: {"family": source.family, "split": collection.splits[source.name]}
            for source in collection.sources
        },
        "scenarios": [
            {"id": run.id, "done": run.id not in left, **run.scenario} for run in collection.runs
        ],
    }


def _plan_text(collection: Collection) -> str:
    planned = _planned(collection)
    lines = [
        f"trace {name}: {about['family']}, {about['split']}"
        for name, about in planned["traces"].items()
    ]
    for scenario in planned["scenarios"]:
        traffic = f"{scenario['flows']} x {scenario['flow']}"
        state = ", done" if scenario["done"] else ""
        lines.append(
            f"{scenario['id']}: rtt {scenario['rtt']}, buffer {scenario['buffer']}, "
            f"{traffic}{state}"
        )
    left = [scenario for scenario in planned["scenarios"] if not scenario["done"]]
    return "\n".join([*lines, f"{len(left)} of {len(planned['scenarios'])} scenarios to run"])
