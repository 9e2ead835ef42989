"""``tbtest traces``: look at, convert, generate and import bandwidth traces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
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
from testbed.units import parse_duration_ns
from traces.draw import default_window_ns, plot_window_ns, text_chart, write_html
from traces.errors import TraceError
from traces.formats import FORMATS
from traces.generators import GENERATORS, generate
from traces.library import (
    add_to_library,
    check_new_name,
    library_file,
    read_trace_file,
    save,
    trace_name,
)
from traces.model import NS_PER_S, Trace, same_capacity
from traces.names import check_name
from traces.overlap import overlap
from traces.parquet import read_parquet, read_provenance
from traces.statistics import binned, describe, rates_bps
from traces.traps import suspicions

_TARGETS = [*(known.name for known in FORMATS if known.suffix), "parquet"]


def _from_format(command: Callable[..., None]) -> Callable[..., None]:
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


_time_scale = click.option(
    "--time-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the times: 0.001 for ms read as seconds.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


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
@_as_json
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
@_from_format
@click.option("--window", metavar="TIME", help="Window of the statistics; 100ms if left out.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an interactive plot to this file.",
)
@_as_json
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
@click.argument("trace", metavar="FILE|NAME")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@_from_format
@click.option(
    "--to", "target_format", type=click.Choice(_TARGETS), help="By OUTPUT's suffix if left out."
)
@click.option("--scale", type=float, metavar="FACTOR", help="Multiply the capacity.")
@_time_scale
@click.option("--clip", metavar="TIME", help="Keep the beginning only, for instance 60s.")
@click.option(
    "--bin",
    "bin_width",
    metavar="TIME",
    help="Replace what happens within this time by its mean rate.",
)
@click.option("--no-delay", is_flag=True, help="Leave the trace's own delay out.")
def convert(
    trace: str,
    output: Path,
    source_format: str | None,
    target_format: str | None,
    scale: float | None,
    time_scale: float | None,
    clip: str | None,
    bin_width: str | None,
    no_delay: bool,
) -> None:
    """Write a trace in another format: OUTPUT.mahimahi, .mahimahi.gz, .json, .csv or .parquet.

    CSV and Parquet keep everything. Mahimahi has no delay and no loss and whole milliseconds; JSON
    has no delivery opportunities (use --bin) and no loss.
    """
    file = read_trace_file(trace, source_format)
    result = _without_delay(file.trace) if no_delay else file.trace
    if time_scale is not None:
        result = result.stretched(time_scale)
    if clip is not None:
        result = result.clipped(parse_duration_ns(clip))
    if scale is not None:
        result = result.scaled(scale)
    if bin_width is not None:
        result = binned(result, max(1, parse_duration_ns(bin_width)))
    save(result, output, target_format)
    print_warnings(file.notes)
    click.echo(f"{output}: {form(result)}, mean {result.mean_bps() / 1e6:.3f} Mbit/s")


@traces.command("generate")
@click.argument("generator", metavar="GENERATOR")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed gives the same trace."
)
@click.option("--duration", default="60s", show_default=True, metavar="TIME")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A parameter; may be repeated."
)
@click.option("--name", help="Keep the trace in your library under this name.")
@click.option("--overwrite", is_flag=True, help="Replace a trace of that name in your library.")
def generate_trace(
    generator: str,
    output: Path | None,
    seed: int,
    duration: str,
    assignments: tuple[str, ...],
    name: str | None,
    overwrite: bool,
) -> None:
    """Generate a trace: into the file OUTPUT, into your library (--name), or both.

    `tbtest traces list` names the generators, `tbtest traces list --json` their parameters.

    \b
        tbtest traces generate lte drive.mahimahi.gz --seed 7 --duration 120s --set scenario=driving
        tbtest traces generate steps --name updown --set levels_mbps='[20, 5]' --set step_s=5
    """
    if output is None and name is None:
        raise TraceError(
            "nowhere to put the trace: give an OUTPUT file, or --name for your library"
        )
    parameters = dict(_assignment(text) for text in assignments)
    duration_ns = parse_duration_ns(duration)
    result = generate(generator, seed, duration_ns / NS_PER_S, parameters, name)
    if name is not None:
        provenance = {
            "generator": generator,
            "seed": seed,
            "duration_s": duration_ns / NS_PER_S,
            "parameters": parameters,
        }
        click.echo(f"{name}: kept as {add_to_library(result, provenance, overwrite)}")
    if output is not None:
        save(result, output)
        click.echo(f"{output}: {form(result)}, mean {result.mean_bps() / 1e6:.3f} Mbit/s")


@traces.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_from_format
@click.option("--name", help="Name in the library; the file's own if left out.")
@click.option(
    "--unit-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the rates: 8 for kB/s labelled kbit/s.",
)
@_time_scale
@click.option(
    "--loss-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the loss: 0.01 for per cent labelled fraction.",
)
@click.option("--no-delay", is_flag=True, help="Leave the trace's own delay out.")
@click.option("--overwrite", is_flag=True, help="Replace a trace of that name.")
@_as_json
def import_traces(
    files: tuple[Path, ...],
    source_format: str | None,
    name: str | None,
    unit_scale: float | None,
    time_scale: float | None,
    loss_scale: float | None,
    no_delay: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Check trace files and keep them in your library, to be used by name: tbtest run --trace NAME.

    The library is the folder tbtest/traces in $XDG_DATA_HOME (or ~/.local/share). Warns of known
    mistakes in published sets. Every file and every name is checked before the first is kept; a
    file that is in the library already, imported in the same way, stays as it is.
    """
    if name is not None and len(files) > 1:
        raise TraceError(
            "--name is for one file; leave it out to import several under their own names"
        )
    read = [read_trace_file(path, source_format) for path in files]
    # A name given is checked; one made of a file's name keeps to the rule.
    names = [check_name(name) if name is not None else trace_name(file.path) for file in read]
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise TraceError(
            f"two of the files would be called {twice}; import them one by one with --name"
        )
    checked = []
    for file, own_name in zip(read, names, strict=True):
        trace = replace(_without_delay(file.trace) if no_delay else file.trace, name=own_name)
        trace = trace.stretched(time_scale) if time_scale is not None else trace
        trace = _scaled_loss(
            trace.scaled(unit_scale) if unit_scale is not None else trace, loss_scale
        )
        provenance = {
            "file": file.path.name,
            "sha256": file.sha256,
            "format": file.format,
            "unit_scale": unit_scale,
            "time_scale": time_scale,
            "loss_scale": loss_scale,
        }
        checked.append((trace, [*file.notes, *suspicions(replace(file, trace=trace))], provenance))
    for trace, _, provenance in checked:
        if not _is_kept(trace, provenance):
            check_new_name(trace.name, overwrite)
    kept = [
        (
            trace,
            warnings,
            library_file(trace.name)
            if _is_kept(trace, provenance)
            else add_to_library(trace, provenance, overwrite),
        )
        for trace, warnings, provenance in checked
    ]
    if as_json:
        click.echo(
            json.dumps(
                [about(t) | {"file": str(path), "warnings": w} for t, w, path in kept], indent=2
            )
        )
        return
    for trace, warnings, _ in kept:
        click.echo(f"{trace.name}: {form(trace)}, mean {trace.mean_bps() / 1e6:.3f} Mbit/s")
        print_warnings(warnings)


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


def _without_delay(trace: Trace) -> Trace:
    return (
        replace(trace, steps=replace(trace.steps, delay_ns=None))
        if trace.steps is not None
        else trace
    )


def _is_kept(trace: Trace, provenance: Mapping[str, object]) -> bool:
    """Whether the library holds this very trace: a second try goes on where the first ended."""
    path = library_file(trace.name)
    return (
        path.is_file()
        and read_provenance(path) == provenance
        and same_capacity(read_parquet(path), trace)
    )


def _scaled_loss(trace: Trace, factor: float | None) -> Trace:
    if factor is None or trace.steps is None or trace.steps.loss is None:
        return trace
    return replace(trace, steps=replace(trace.steps, loss=trace.steps.loss * factor))


def _assignment(text: str) -> tuple[str, object]:
    """`key=value`; the value is JSON where it can be read so, text otherwise. Raises TraceError."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise TraceError(f"--set {text}: write it like --set rate_mbps=20")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
