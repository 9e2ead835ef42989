"""``tbtest traces``: look at, convert, generate and import bandwidth traces."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from testbed.cli.traces_about import (
    about,
    bundled_entries,
    form,
    imported_entries,
    print_warnings,
    with_span,
)
from testbed.cli.traces_make import convert, generate_trace, import_traces
from testbed.cli.traces_options import as_json_option, from_format
from testbed.units import parse_duration_ns
from traces.draw import default_window_ns, plot_window_ns, text_chart, write_html
from traces.errors import TraceError
from traces.formats import FORMATS
from traces.generators import GENERATORS
from traces.library import read_trace_file
from traces.model import Trace
from traces.overlap import overlap
from traces.statistics import describe, rates_bps
from traces.traps import suspicions


@click.group()
def traces() -> None:
    """Look at, convert, generate and import bandwidth traces.

    A trace is given by its name (bundled, or imported by you), by a file, or by a pipe; `tbtest
    traces formats` lists the formats.
    """


@traces.command("formats")
def list_formats() -> None:
    """List the formats of trace files, by the names that --from takes."""
    for known in FORMATS:
        use = "read, written" if known.suffix else "read"
        click.echo(f"{known.name:<20} {use:<14} {known.description}")
    click.echo(f"{'parquet':<20} {'read, written':<14} the form of run folders and of your library")


@traces.command("list")
@as_json_option
def list_traces(as_json: bool) -> None:
    """List the bundled traces, those you imported, and the generators."""
    entries = [*bundled_entries(), *imported_entries()]
    if as_json:
        generators = {
            name: {
                "description": generator.description,
                "parameters": model().model_dump(mode="json"),
            }
            for name, (generator, model) in GENERATORS.items()
        }
        click.echo(json.dumps({"traces": entries, "generators": generators}, indent=2))
        return
    console = Console()
    table = Table(
        "name", "mean Mbit/s", "length", "about", box=None, header_style="bold", pad_edge=False
    )
    for entry in entries:
        table.add_row(
            str(entry["name"]),
            f"{entry['mean_mbps']:.2f}",
            f"{entry['duration_s']:g} s",
            str(entry["description"]),
        )
    console.print(table)
    console.print("\nGenerators (tbtest traces generate NAME):", highlight=False)
    for name, (generator, _) in GENERATORS.items():
        console.print(f"  {name:<12}{generator.description}", highlight=False)


@traces.command()
@click.argument("trace", metavar="FILE|NAME")
@from_format
@click.option("--window", metavar="TIME", help="Window of the statistics; 100ms if left out.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an interactive plot to this file.",
)
@as_json_option
def show(
    trace: str, source_format: str | None, window: str | None, html: Path | None, as_json: bool
) -> None:
    """Draw a trace and print its statistics.

    An outage is a stretch of windows below 1 % of the mean rate.
    """
    file = read_trace_file(trace, source_format)
    shown = with_span(file.trace)
    window_ns = parse_duration_ns(window) if window is not None else default_window_ns(shown)
    if window_ns <= 0:
        raise TraceError("a window of 0 holds nothing; give --window 100ms")
    found = describe([rates_bps(shown, window_ns)], window_ns, lags_s=(0.1, 0.5, 1, 2, 5, 10, 30))
    if html is not None:
        try:
            write_html(shown, plot_window_ns(shown, window_ns), html)
        except OSError as error:
            raise TraceError(f"{html}: cannot be written: {error.strerror or error}") from None
    warnings = [*file.notes, *suspicions(file)]
    if as_json:
        shown_about = about(file.trace) | {
            "format": file.format,
            "file": str(file.path),
            "warnings": warnings,
        }
        # JSON knows no NaN: the autocorrelation of a constant rate is null.
        statistics = asdict(found)
        statistics["autocorrelation"] = {
            str(lag): None if value != value else value
            for lag, value in found.autocorrelation.items()
        }
        click.echo(json.dumps(shown_about | {"statistics": statistics}, indent=2))
        return
    console = Console()
    console.print(
        f"[bold]{file.trace.name}[/bold]  {file.format}, {form(file.trace)}", highlight=False
    )
    for line in text_chart(shown, max(20, min(console.width, 120) - 12)):
        console.print(line, highlight=False, markup=False, no_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    percentiles = found.percentiles_bps
    table.add_row("mean, std", f"{shown.mean_bps() / 1e6:.3f}, {found.std_bps / 1e6:.3f} Mbit/s")
    quantiles = " / ".join(f"{percentiles[p] / 1e6:.2f}" for p in (5, 25, 50, 75, 95))
    table.add_row("p5 / p25 / p50 / p75 / p95", f"{quantiles} Mbit/s")
    correlations = ", ".join(
        f"{value:.2f} at {lag:g} s"
        for lag, value in found.autocorrelation.items()
        if value == value
    )
    table.add_row("autocorrelation", correlations or "-")
    table.add_row(
        "outages",
        f"{found.outages}, {found.outage_share:.1%} of the time, mean {found.outage_mean_s:.2f} s, "
        f"longest {found.outage_max_s:.2f} s",
    )
    table.add_row("window", f"{window_ns / 1e6:g} ms")
    console.print(table, highlight=False)
    print_warnings(warnings)
    if html is not None:
        console.print(f"plot: {html}", highlight=False)


@traces.command()
@click.argument("one", type=click.Path(path_type=Path, exists=True))
@click.argument("other", type=click.Path(path_type=Path, exists=True))
def overlaps(one: Path, other: Path) -> None:
    """Name the pairs of traces in two files or folders that hold the same recording.

    Equal: windows of 8 equal samples. Alike: the greatest correlation over 200 s, 0.95 or more.
    """
    mine, theirs = _traces_in(one), _traces_in(other)
    found = 0
    for path, trace in mine.items():
        for other_path, other_trace in theirs.items():
            shared = overlap(trace, other_trace)
            if shared.found and path.resolve() != other_path.resolve():
                found += 1
                click.echo(
                    f"{path.name}  {other_path.name}  {shared.equal_windows} equal windows, "
                    f"correlation {shared.correlation:.3f}"
                )
    click.echo(f"{found} pairs of {len(mine)} x {len(theirs)} overlap")


def _traces_in(place: Path) -> dict[Path, Trace]:
    files = (
        sorted(each for each in place.iterdir() if each.is_file()) if place.is_dir() else [place]
    )
    return {each: read_trace_file(each).trace for each in files}


for _command in (convert, generate_trace, import_traces):
    traces.add_command(_command)
