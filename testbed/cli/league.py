"""``tbtest league``: schemes against each other over many scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.cli.grid_options import (
    dry_run_option,
    grid_argument,
    json_option,
    set_option,
    virtual_option,
)

if TYPE_CHECKING:
    from testbed.league.plan import League


@click.command()
@grid_argument
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("league"),
    show_default=True,
    metavar="DIR",
    help="Folder of cells, table and report.",
)
@click.option(
    "--schemes",
    "--cc",
    "--controllers",
    "schemes",
    metavar="NAMES",
    help=("Controllers to compare, instead of the grid's; see `tbtest policies`."),
)
@click.option(
    "--traces",
    multiple=True,
    metavar="GLOB",
    help="Further traces: a name, file or pattern; may be repeated.",
)
@click.option(
    "--collection",
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR|FILE",
    help=(
        "Run on the traces of a dataset of `tbtest collect` instead of the grid's own, those of "
        "--split alone."
    ),
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    help="Only traces of this split; default: the grid's, which is test.",
)
@set_option
@click.option(
    "--quick",
    is_flag=True,
    help="Cells of at most 5 s, one of each kind of traffic per trace: minutes.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells that run at the same time; default: one for every two cores, --virtual: each core.",
)
@virtual_option
@click.option(
    "--executor",
    type=click.Choice(["ray", "processes"]),
    help=(
        "How cells are spread; default: ray where it is installed, else processes of this machine."
    ),
)
@click.option(
    "--ray-address",
    metavar="ADDR",
    help="A running Ray cluster: auto, or host:port. Default: this machine.",
)
@click.option(
    "--policy-server",
    metavar="ADDR",
    help="Use this policy server instead of starting one per host.",
)
@click.option(
    "--baseline", metavar="SCHEME", help="What schemes are paired with; default: bbr, else cubic."
)
@click.option(
    "--keep-runs", is_flag=True, help="Keep the run folders under DIR/runs, logs and all."
)
@click.option(
    "--report-only",
    is_flag=True,
    help="Run nothing; rebuild table and report of the cells that are done.",
)
@click.option(
    "--pool",
    "pooled",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR|TABLE",
    help="Run nothing; report these leagues' tables as one in --out; may be repeated.",
)
@dry_run_option
@json_option
def league(
    grid_file: Path | None,
    out: Path,
    schemes: str | None,
    traces: tuple[str, ...],
    collection: Path | None,
    split: str | None,
    assignments: tuple[str, ...],
    quick: bool,
    jobs: int | None,
    virtual: bool,
    executor: str | None,
    ray_address: str | None,
    policy_server: str | None,
    baseline: str | None,
    keep_runs: bool,
    report_only: bool,
    pooled: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run every scheme on every scenario of a grid, and report who wins where.

    A cell is one scheme on one scenario; the cells of a scenario share trace, settings and seed,
    and run in random order. The same command again goes on where it stopped. Writes league.parquet,
    league.md and league.html. Needs root, but for --virtual. Without GRID.yaml, a grid of
    generated traces.

    \b
        tbtest league --quick --schemes bbr,cubic,policy:light --out quick
        tbtest league grids/league.yaml --traces 'recorded/*/*' --out league --jobs 8
        tbtest league grids/league.yaml --collection experience --split validation --out tuning
        tbtest league grids/league.yaml --ray-address auto --out league     # the same, on a cluster
        tbtest league --pool monday --pool tuesday/league.parquet --out both
    """
    from testbed.errors import UserError
    from testbed.league.grid import make_grid
    from testbed.league.plan import check_schemes, plan
    from testbed.league.pool import pool
    from testbed.mappings import read_yaml, set_key
    from testbed.run.prepared import require_root

    if pooled:
        if grid_file is not None:
            raise UserError(f"--pool reports what has run; leave {grid_file} out")
        cells = pool(pooled, out, baseline)
        result = {"league": str(out), "cells": cells, "done": cells, "failed": 0}
        click.echo(json.dumps(result) if as_json else _result_text(result))
        return
    data = read_yaml(grid_file) if grid_file else {}
    if split is not None:
        data["split"] = split
    if schemes is not None:
        data["schemes"] = [name.strip() for name in schemes.split(",")]
    for assignment in assignments:
        set_key(data, assignment)
    grid = make_grid(data, str(grid_file or "command line"))
    planned = plan(grid.quick() if quick else grid, traces, out, collection)
    if dry_run:
        click.echo(json.dumps(_listed(planned), indent=1) if as_json else _plan_text(planned))
        return
    failures: list[str] = []
    if not report_only:
        if virtual:
            _be_ready_for_virtual_time(policy_server, quiet=as_json)
        else:
            require_root()
            check_schemes(planned.grid.schemes)
        planned.write()
        failures = _run(
            planned,
            executor,
            ray_address,
            policy_server,
            jobs,
            keep_runs=keep_runs,
            virtual=virtual,
            quiet=as_json,
        )
    done = planned.report(baseline)
    result = {
        "league": str(out),
        "cells": len(planned.cells),
        "done": done,
        "failed": len(failures),
    }
    click.echo(json.dumps(result) if as_json else _result_text(result))
    if failures:
        raise UserError(
            f"{len(failures)} cells failed; the first: {failures[0]}; the same command tries them "
            "again"
        )


def _run(
    planned: League,
    executor: str | None,
    ray_address: str | None,
    policy_server: str | None,
    workers: int | None,
    *,
    keep_runs: bool,
    virtual: bool,
    quiet: bool,
) -> list[str]:
    """Run what is left; returns what went wrong."""
    from testbed.cli.cells import with_progress
    from testbed.league.spread import run_league

    left = planned.left
    if not left:
        return []
    return with_progress(
        left,
        len(planned.cells),
        lambda cell: f"{cell.about['trace']} {cell.scheme}",
        planned.finish,
        lambda on_start, on_end: run_league(
            planned,
            left,
            executor=executor,
            ray_address=ray_address,
            policy_server=policy_server,
            workers=workers,
            keep_runs=keep_runs,
            virtual=virtual,
            on_start=on_start,
            on_end=on_end,
        ),
        quiet=quiet,
    )


def _be_ready_for_virtual_time(policy_server: str | None, *, quiet: bool) -> None:
    """Build the guests' kernel once, before all cells. Raises UserError."""
    from testbed.errors import UserError
    from testbed.virtual import kernel

    if policy_server is not None:
        raise UserError(
            f"--policy-server {policy_server}: a guest reaches no server outside; leave it out, "
            "and policies answer inside"
        )
    kernel.ready(None, lambda line: None if quiet else click.echo(line, err=True))


def _result_text(result: dict[str, Any]) -> str:
    return (
        f"{result['league']}: {result['done']} of {result['cells']} cells done, {result['failed']} "
        "failed; see "
        f"{result['league']}/league.html and league.md, the table is league.parquet"
    )


def _listed(planned: League) -> dict[str, Any]:
    left = {cell.id for cell in planned.left}
    return {
        "traces": {
            trace.name: {"family": trace.family, "split": trace.split, "scale": trace.scale}
            for trace in planned.traces
        },
        "cells": [
            {"id": cell.id, "done": cell.id not in left, **cell.about} for cell in planned.cells
        ],
    }


def _plan_text(planned: League) -> str:
    listed = _listed(planned)
    lines = [
        f"trace {name}: {about['family']}, {about['split']}, mean scaled by {about['scale']:.3g}"
        if about["scale"] != 1
        else f"trace {name}: {about['family']}, {about['split']}"
        for name, about in listed["traces"].items()
    ]
    for cell in listed["cells"]:
        state = ", done" if cell["done"] else ""
        lines.append(
            f"{cell['id']}: {cell['scheme']}, {cell['traffic']}, rtt {cell['rtt_ms']:g}ms, buffer "
            f"{cell['buffer']}, "
            f"seed {cell['seed']}{state}"
        )
    seconds = sum(cell["duration_s"] for cell in listed["cells"] if not cell["done"])
    left = sum(not cell["done"] for cell in listed["cells"])
    return "\n".join(
        [*lines, f"{left} of {len(listed['cells'])} cells to run, {seconds:.0f} s of traffic"]
    )
