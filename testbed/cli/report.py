"""``tbtest report`` and ``tbtest compare``: from run folders to tables and pages. No root
needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from testbed.cli.expect import expect_options
from testbed.errors import UserError

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json instead of the table.")
@expect_options
def report(
    run: Path, as_json: bool, expect: tuple[str, ...], junit: Path | None, summary: Path | None
) -> None:
    """Rebuild metrics.json and report.html of the run folder RUN and print the summary."""
    from testbed.run.show import build_and_show

    build_and_show(run, as_json)
    if expect:
        from testbed.run.verdict import judge_and_tell

        sys.exit(judge_and_tell(expect, run, junit_path=junit, summary_path=summary))


@click.command()
@click.argument("runs", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--baseline",
    metavar="CC",
    help="Compare every controller with this one; default: the first by name.",
)
@click.option(
    "--out",
    type=_FOLDER,
    default=Path("compare.html"),
    show_default=True,
    help="The page to write.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the comparison as JSON instead of the table."
)
@expect_options
def compare(
    runs: tuple[Path, ...],
    baseline: str | None,
    out: Path,
    as_json: bool,
    expect: tuple[str, ...],
    junit: Path | None,
    summary: Path | None,
) -> None:
    """Compare controllers over several run folders RUNS, in one table and plot.

    Cells are paired where scenario, trace, seed and repeat are the same; differences have 95 %
    bootstrap intervals.

    With --expect the last folder is judged against the first, the baseline:

    \b
        tbtest compare runs/main runs/mine --expect 'power >= 0.95 * baseline.power'
    """
    if expect and len(runs) != 2:
        raise UserError("--expect judges one run against a baseline; name two folders")
    from analysis.compare import compare_runs, comparison_table, write_page

    comparison = compare_runs(runs, baseline)
    write_page(comparison, out)
    if as_json:
        click.echo(comparison.model_dump_json(indent=1))
    else:
        console = Console()
        console.print(comparison_table(comparison))
        console.print(f"page: {out}", highlight=False, soft_wrap=True, markup=False)
    if expect:
        from testbed.run.verdict import judge_and_tell

        first, last = runs
        sys.exit(
            judge_and_tell(expect, last, baseline=first, junit_path=junit, summary_path=summary)
        )
