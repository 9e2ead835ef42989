"""``tbtest suite``: the cases of a standard, for any controllers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from testbed.suite.definition import Suite


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--cc",
    "--controllers",
    "--schemes",
    "cc",
    metavar="NAMES",
    help="Controllers to test: policy,bbr,cubic (default), policy:./mine.py:Mine, ...",
)
@click.option(
    "--case", "cases", multiple=True, metavar="CASE", help="Only this case, or section; repeatable."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0.01, max=10),
    default=1.0,
    metavar="FACTOR",
    help="Multiply every duration and moment: 0.2 takes a fifth of the time.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1, max=1000),
    default=1,
    metavar="N",
    help="Cells per controller and case; five give intervals, and so verdicts.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A run folder for each case, and the page; default suites/NAME. Cases there are kept.",
)
@click.option(
    "--virtual",
    is_flag=True,
    help="In virtual time (see `tbtest run --help`): exact, repeatable, without root.",
)
@click.option(
    "--beside",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="Put the cases of another folder of this suite on the page too; repeatable.",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write JUnit XML: a testsuite for each case, a testcase for each expectation.",
)
@click.option("--list", "only_list", is_flag=True, help="List the cases and what is left out.")
@click.option("--print-case", metavar="CASE", help="Print the scenario of a case, and stop.")
def suite(
    name: str | None,
    cc: str | None,
    cases: tuple[str, ...],
    scale: float,
    repeats: int,
    out: Path | None,
    virtual: bool,
    beside: tuple[Path, ...],
    junit: Path | None,
    only_list: bool,
    print_case: str | None,
) -> None:
    """Run the cases of a standard and write a page of what holds.

    Each case is a scenario with expectations. The page, suite.html and suite.md, covers all cases
    that the folder holds, so a suite can be run in portions. Exit status 1: an expectation fails;
    3: none fails, and of one the runs cannot tell, as with fewer than five repeats. Needs root but
    for --virtual.

    \b
        tbtest suite rfc8867 --list
        tbtest suite rfc8867 --virtual --cc bbr,cubic --junit suite.xml
        tbtest suite rfc8867 --cc bbr,cubic --case 5.1 --scale 0.1
        tbtest suite rfc9743 --cc policy:./mine.py:Mine,cubic --repeats 5
    """
    from testbed.suite.definition import load_suite, scenario_of, suite_names

    if name is None:
        for known in suite_names():
            found = load_suite(known)
            click.echo(f"{known:10} {found.head.standard}: {len(found.cases)} cases")
        return
    found = load_suite(name)
    if only_list:
        _list(found)
        return
    controllers = tuple(part.strip() for part in cc.split(",")) if cc else None
    if print_case:
        (case, *_) = found.chosen((print_case,))
        click.echo(scenario_of(case, controllers, repeats, scale).to_yaml(), nl=False)
        return
    from testbed.suite.page import write_pages
    from testbed.suite.run import results_in, run_suite
    from testbed.suite.verdict import exit_status, write_junit

    out = out or Path("suites") / name
    chosen = found.chosen(cases)
    results, failed = run_suite(
        found,
        chosen,
        controllers,
        repeats,
        scale,
        out,
        lambda text: click.echo(text, err=True),
        virtual=virtual,
    )
    for folder in beside:
        results += results_in(found, folder)
    out.mkdir(parents=True, exist_ok=True)
    if junit is not None:
        write_junit(name, results, failed, junit)
    command = " ".join(["tbtest", *sys.argv[1:]])
    write_pages(found, results, failed, command, out)
    for result in results:
        marks = "  ".join(f"{name} {result.mark(name)}" for name in result.lines)
        click.echo(f"{result.case.name:16} {marks}")
    click.echo(f"page: {out / 'suite.html'}")
    sys.exit(2 if failed else exit_status(results))


def _list(found: Suite) -> None:
    click.echo(f"{found.head.standard}: {found.head.title}\n{found.head.url}\n")
    for case in found.cases:
        section = f"section {case.about.section}" if case.about.section else ""
        click.echo(f"{case.name:20} {section:14} {case.about.title}")
    if found.head.elsewhere:
        click.echo("\nnot in this suite:")
    for entry in found.head.elsewhere:
        click.echo(f"  {entry.section:8} {entry.title}: {entry.reason}")
