"""``tbtest stress``: failures, alone and together, under any controllers."""

from __future__ import annotations

import json
import sys
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
    from testbed.stress.plan import Stress


@click.command()
@grid_argument
@click.option(
    "--cc",
    "--controllers",
    "--schemes",
    "cc",
    metavar="NAMES",
    help="Controllers to compare: policy,bbr,cubic (default), policy:./mine.py:Mine, ...",
)
@click.option(
    "--only",
    multiple=True,
    metavar="FAILURES",
    help="Only this set: loss, loss+capacity, ...; or single, all, none; repeatable.",
)
@click.option("--seeds", type=click.IntRange(min=1, max=1000), metavar="N", help="Seeds 1 to N.")
@set_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("stress"),
    show_default=True,
    metavar="DIR",
    help="Folder of cells, table and page.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cells that run at the same time; default: 1, --virtual: one for each core.",
)
@virtual_option
@click.option("--keep-runs", is_flag=True, help="Keep the run folders under DIR/runs.")
@click.option("--report-only", is_flag=True, help="Run nothing; rebuild table and page.")
@dry_run_option
@json_option
def stress(
    grid_file: Path | None,
    cc: str | None,
    only: tuple[str, ...],
    seeds: int | None,
    assignments: tuple[str, ...],
    out: Path,
    jobs: int | None,
    virtual: bool,
    keep_runs: bool,
    report_only: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Break everything at once, and say who degrades gracefully and who collapses.

    Failures: 30 % loss in bursts, capacity to 2 %, a route that flaps between 20 and 200 ms, a
    filled way back, the policy server or its worker killed; alone and in every combination, over
    seeds. The same command again goes on where it stopped. Writes stress.json, stress.md and
    stress.html. Exit status 1: a policy collapses. Needs root, but for --virtual, which has no
    server to kill.

    \b
        tbtest stress --dry-run
        tbtest stress --only single --only all --seeds 1 --out quick
        tbtest stress --virtual --seeds 5 --out network
        tbtest stress --only loss+capacity+server --cc policy:gcc,bbr --keep-runs
    """
    from testbed.errors import UserError
    from testbed.mappings import read_yaml, set_key
    from testbed.stress.plan import plan

    data = read_yaml(grid_file) if grid_file else {}
    if cc is not None:
        data["cc"] = [name.strip() for name in cc.split(",")]
    if seeds is not None:
        data["seeds"] = list(range(1, seeds + 1))
    for assignment in assignments:
        set_key(data, assignment)
    names = [name.strip() for value in only for name in value.split(",")]
    planned = plan(data, str(grid_file or "command line"), names, out, virtual=virtual)
    if dry_run:
        click.echo(json.dumps(_listed(planned), indent=1) if as_json else _plan_text(planned))
        return
    failures: list[str] = []
    if not report_only:
        _be_ready(planned, quiet=as_json)
        planned.write()
        failures = _run(planned, jobs, keep_runs=keep_runs, quiet=as_json)
    rows = planned.report(" ".join(["tbtest", *sys.argv[1:]]))
    if as_json:
        click.echo(json.dumps({"stress": str(out), "failed": len(failures), "rows": rows}))
    else:
        from analysis.stress import text

        click.echo(text(rows))
        click.echo(f"{len(rows)} of {len(planned.cells)} cells are done; page: {out}/stress.html")
    if failures:
        raise UserError(
            f"{len(failures)} cells failed; the first: {failures[0]}; the same command tries them "
            "again"
        )
    collapsed = any(row["collapse"] and row["cc"].startswith("policy") for row in rows)
    sys.exit(int(collapsed))


def _be_ready(planned: Stress, *, quiet: bool) -> None:
    """Root and the controllers' modules, or the guests' kernel, before all cells. Raises
    UserError.
    """
    from testbed.league.plan import check_schemes
    from testbed.run.prepared import require_root
    from testbed.virtual import kernel

    if planned.virtual:
        kernel.ready(None, lambda line: None if quiet else click.echo(line, err=True))
    else:
        require_root()
        check_schemes(planned.grid.cc)


def _run(planned: Stress, jobs: int | None, *, keep_runs: bool, quiet: bool) -> list[str]:
    from testbed.cli.cells import with_progress
    from testbed.stress.spread import run_stress

    left = planned.parts.left(planned.cells)
    if not left:
        return []
    return with_progress(
        left,
        len(planned.cells),
        lambda cell: f"{cell.about['failures']} {cell.about['cc']}",
        planned.finish,
        lambda on_start, on_end: run_stress(
            planned,
            left,
            workers=jobs or (None if planned.virtual else 1),
            keep_runs=keep_runs,
            on_start=on_start,
            on_end=on_end,
        ),
        quiet=quiet,
    )


def _listed(planned: Stress) -> list[dict[str, Any]]:
    left = {cell.id for cell in planned.parts.left(planned.cells)}
    return [{"id": cell.id, "done": cell.id not in left, **cell.about} for cell in planned.cells]


def _plan_text(planned: Stress) -> str:
    listed = _listed(planned)
    lines = [
        f"{cell['failures']}: {cell['cc']}, seed {cell['seed']}{', done' if cell['done'] else ''}"
        for cell in listed
    ]
    left = [cell for cell in listed if not cell["done"]]
    seconds = sum(cell["duration_s"] for cell in left)
    if planned.virtual:
        lines.append("sets with a killed server or worker are left out: virtual time has neither")
    lines.append(f"{len(left)} of {len(listed)} cells to run, {seconds:.0f} s of traffic")
    return "\n".join(lines)
