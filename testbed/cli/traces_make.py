"""``tbtest traces convert``, ``generate`` and ``import``: the commands that write traces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from testbed.cli.traces_about import about, form, print_warnings
from testbed.cli.traces_options import as_json_option, from_format, time_scale_option
from testbed.units import parse_duration_ns
from traces.errors import TraceError
from traces.formats import FORMATS
from traces.forms import NS_PER_S
from traces.generators import generate
from traces.library import (
    add_to_library,
    check_new_name,
    library_file,
    read_trace_file,
    save,
    trace_name,
)
from traces.model import Trace, same_capacity
from traces.names import check_name
from traces.parquet import read_parquet, read_provenance
from traces.statistics import binned
from traces.traps import suspicions

_TARGETS = [*(known.name for known in FORMATS if known.suffix), "parquet"]


@click.command()
@click.argument("trace", metavar="FILE|NAME")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@from_format
@click.option(
    "--to", "target_format", type=click.Choice(_TARGETS), help="By OUTPUT's suffix if left out."
)
@click.option("--scale", type=float, metavar="FACTOR", help="Multiply the capacity.")
@time_scale_option
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


@click.command("generate")
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


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@from_format
@click.option("--name", help="Name in the library; the file's own if left out.")
@click.option(
    "--unit-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the rates: 8 for kB/s labelled kbit/s.",
)
@time_scale_option
@click.option(
    "--loss-scale",
    type=float,
    metavar="FACTOR",
    help="Multiply the loss: 0.01 for per cent labelled fraction.",
)
@click.option("--no-delay", is_flag=True, help="Leave the trace's own delay out.")
@click.option("--overwrite", is_flag=True, help="Replace a trace of that name.")
@as_json_option
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
