"""What ``tbtest traces`` says of a trace, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click

from traces.bundled import index
from traces.forms import NS_PER_S
from traces.library import imported_names, read_trace_file, user_library
from traces.model import Trace
from traces.parquet import read_parquet, read_provenance


def bundled_entries() -> Iterable[dict[str, Any]]:
    """The traces of the project, as JSON has them."""
    for entry in index().values():
        yield about(read_trace_file(entry.name).trace) | {
            "origin": "bundled",
            "description": entry.description,
        }


def imported_entries() -> Iterable[dict[str, Any]]:
    """The traces in the user's library."""
    for name in imported_names():
        path = user_library() / f"{name}.parquet"
        source = read_provenance(path)
        origin = (
            source.get("file") or f"generator {source.get('generator')}, seed {source.get('seed')}"
        )
        yield about(read_parquet(path)) | {
            "origin": "imported",
            "description": f"imported: {origin}",
        }


def about(trace: Trace) -> dict[str, Any]:
    """Name, mean, length and form."""
    return {
        "name": trace.name,
        "mean_mbps": trace.mean_bps() / 1e6,
        "duration_s": trace.duration_ns / NS_PER_S,
        "repeats": trace.period_ns is not None,
        "form": "steps" if trace.steps is not None else "opportunities",
        "has_delay": trace.steps is not None and trace.steps.delay_ns is not None,
        "has_loss": trace.steps is not None and trace.steps.loss is not None,
    }


def form(trace: Trace) -> str:
    """Form and length in words."""
    if trace.opportunities is not None:
        what = f"{len(trace.opportunities.at_ns):,} delivery opportunities"
    else:
        assert trace.steps is not None
        extras = [name for name in ("delay_ns", "loss") if getattr(trace.steps, name) is not None]
        count = len(trace.steps.start_ns)
        what = f"{count:,} step{'s' if count > 1 else ''}" + "".join(
            f" with {name.removesuffix('_ns')}" for name in extras
        )
    return f"{what}, {trace.duration_ns / NS_PER_S:g} s, " + (
        "repeats" if trace.period_ns else "does not repeat"
    )


def with_span(trace: Trace) -> Trace:
    """A trace to look at: one whose last value holds for ever is shown for a little while of
    that.
    """
    if trace.period_ns is None and trace.steps is not None:
        return replace(
            trace, period_ns=max(trace.duration_ns * 5 // 4, trace.duration_ns + NS_PER_S)
        )
    return trace


def print_warnings(warnings: Iterable[str]) -> None:
    """One line each, to stderr."""
    for warning in warnings:
        click.secho(f"warning: {warning}", err=True, fg="yellow")
