"""Several runs side by side: medians per run and controller, and paired differences against a
baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from pydantic import BaseModel, ConfigDict, Field
from rich.markup import escape
from rich.table import Table

from analysis.errors import AnalysisError
from analysis.files import TraceEntry, trace_sha256
from analysis.measure import cell_values, measure_cell
from analysis.metrics.schema import CellMetrics
from analysis.metrics.table import RUN, Metric
from analysis.run import Cell, Run, load_run
from analysis.statistics import median_ci95, paired_difference_ci95
from traces.parquet import read_parquet

_Interval = tuple[float, float] | None


class Entry(BaseModel):
    """One metric of one controller over all runs."""

    model_config = ConfigDict(frozen=True)

    cc: str
    metric: str
    cells: int
    median: float | None
    ci95: _Interval
    pairs: int = Field(
        description="cells that the baseline has too: same run conditions, seed and repeat"
    )
    difference: float | None = Field(
        description="median of this controller minus baseline over pairs"
    )
    difference_ci95: _Interval


class Comparison(BaseModel):
    """Result of ``compare_runs``."""

    model_config = ConfigDict(frozen=True)

    runs: list[str]
    baseline: str
    entries: list[Entry]


# A cell's place in the experiment: everything but its controller.
_Key = tuple[str, int, int]


def compare_runs(folders: Sequence[Path], baseline: str | None) -> Comparison:
    """Compare over run folders. Raises AnalysisError, also where no run has the baseline."""
    runs = [load_run(folder) for folder in folders]
    labels = _labels(runs)
    cells: dict[str, dict[_Key, list[CellMetrics]]] = {}
    for run in runs:
        place = repr(sorted(conditions(run).items(), key=str))
        for cell in run.cells:
            key = (place, cell.repeat, cell.seed)
            own = cells.setdefault(labels[_identity(run, cell)], {}).setdefault(key, [])
            own.extend(measure_cell(cell))
    chosen = baseline or min(cells)
    if chosen not in cells:
        raise AnalysisError(
            f"--baseline {chosen}: no run has it; there are {', '.join(sorted(cells))}"
        )
    entries = [
        entry
        for shown in RUN
        for cc in sorted(cells)
        if (entry := _entry(shown, cc, cells[cc], cells[chosen])) is not None
    ]
    return Comparison(runs=[str(folder) for folder in folders], baseline=chosen, entries=entries)


def conditions(run: Run) -> dict[str, object]:
    """What of the scenario makes cells of different controllers or runs comparable. Raises
    AnalysisError.
    """
    without = ("cc", "abr", "repeats", "policy", "policy_server", "trace", "expect")
    kept = {key: value for key, value in run.manifest.scenario.items() if key not in without}
    return {**kept, "traces": trace_hashes(run)}


def trace_hashes(run: Run) -> list[str]:
    """What identifies the content of the run's trace, and of the reverse path's if it has one;
    computed where its manifest does not say. Raises AnalysisError.
    """
    entries = (run.manifest.trace, run.manifest.reverse_trace)
    return [_trace_hash(run, entry) for entry in entries if entry is not None]


def _trace_hash(run: Run, about: TraceEntry) -> str:
    if about.sha256 is not None:
        return about.sha256
    if about.file is None:
        raise AnalysisError(f"{run.folder}: its manifest names no trace file; run again")
    try:
        return trace_sha256(read_parquet(run.folder / about.file))
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{run.folder / about.file}: cannot be read: {error}") from error


# Controller, who chose the levels or scheduled the jobs, and what of a policy's options and
# checkpoints they depend on.
_Identity = tuple[str, str, str]


def _identity(run: Run, cell: Cell) -> _Identity:
    """Two cells of one identity had the same controller, as far as their run folders say."""
    options = dict(run.manifest.scenario.get("policy") or {})
    record, checkpoints = cell.record, cell.record.checkpoints
    # Of a network that chose the levels its content counts, not where it lay.
    chosen = record.abr_checkpoint or record.abr or record.scheduler
    if not cell.is_policy:
        return record.cc, chosen, ""
    if checkpoints:
        # Where the checkpoints lay; their content says more.
        options.pop("models", None)
    return (
        record.cc,
        chosen,
        repr([sorted(part.items(), key=str) for part in (options, checkpoints)]),
    )


def _labels(runs: Sequence[Run]) -> dict[_Identity, str]:
    """A name for each controller. Policies of one name that had other options or other checkpoints
    are told apart by the folder of the first run that had them, and within one folder by a number.
    """
    first: dict[_Identity, tuple[Run, str]] = {}
    for run in runs:
        for cell in run.cells:
            first.setdefault(_identity(run, cell), (run, cell.cc))
    names = [name for _, name in first.values()]
    labels: dict[_Identity, str] = {}
    for identity, (run, name) in first.items():
        label = name
        if names.count(name) > 1:
            label = f"{name} [{run.folder}]"
            met = sum(other.startswith(label) for other in labels.values())
            label += f" ({met + 1})" if met else ""
        labels[identity] = label
    return labels


def _entry(
    shown: Metric, cc: str, own: dict[_Key, list[CellMetrics]], base: dict[_Key, list[CellMetrics]]
) -> Entry | None:
    values = {key: _mean(cells, shown.path) for key, cells in own.items()}
    values = {key: value for key, value in values.items() if math.isfinite(value)}
    if not values:
        return None
    base_values = {key: _mean(cells, shown.path) for key, cells in base.items()}
    paired = [key for key in values if math.isfinite(base_values.get(key, math.nan))]
    median, ci95 = median_ci95(list(values.values()))
    difference, difference_ci95 = paired_difference_ci95(
        [values[key] for key in paired], [base_values[key] for key in paired]
    )
    return Entry(
        cc=cc,
        metric=shown.path,
        cells=len(values),
        median=median,
        ci95=ci95,
        pairs=len(paired),
        difference=difference if math.isfinite(difference) else None,
        difference_ci95=difference_ci95,
    )


def _mean(cells: Sequence[CellMetrics], metric: str) -> float:
    values = [value for value in cell_values(cells, metric).values() if math.isfinite(value)]
    return sum(values) / len(values) if values else math.nan


def _text(value: float | None, interval: _Interval, shown: Metric, sign: str = "") -> str:
    if value is None:
        return "–"
    text = f"{value * shown.factor:{sign}.{shown.digits}f}"
    if interval is None:
        return text
    low, high = (f"{bound * shown.factor:{sign}.{shown.digits}f}" for bound in interval)
    return f"{text} [{low}, {high}]"


def comparison_table(comparison: Comparison) -> Table:
    """Rows: metric and controller; columns: median, and paired difference to the baseline."""
    table = Table(
        caption=f"{len(comparison.runs)} runs; 95 % bootstrap intervals", caption_justify="left"
    )
    for title in ("", "cc", "cells", "median", "pairs", f"minus {escape(comparison.baseline)}"):
        table.add_column(title, justify="left" if title in ("", "cc") else "right")
    for shown in RUN:
        rows = [entry for entry in comparison.entries if entry.metric == shown.path]
        for number, entry in enumerate(rows):
            difference = (
                ""
                if entry.cc == comparison.baseline
                else _text(entry.difference, entry.difference_ci95, shown, "+")
            )
            table.add_row(
                shown.title if number == 0 else "",
                escape(entry.cc),
                str(entry.cells),
                _text(entry.median, entry.ci95, shown),
                str(entry.pairs),
                difference,
                end_section=number == len(rows) - 1,
            )
    return table


def write_page(comparison: Comparison, path: Path) -> None:
    """A self-contained page: per metric, every controller's median with its interval. Raises
    AnalysisError.
    """
    parts: list[str] = []
    for shown in RUN:
        rows = [
            entry
            for entry in comparison.entries
            if entry.metric == shown.path and entry.median is not None
        ]
        if not rows:
            continue
        figure = go.Figure()
        medians = [(row.median or 0.0) * shown.factor for row in rows]
        bounds = [row.ci95 or (row.median or 0.0, row.median or 0.0) for row in rows]
        figure.add_scatter(
            x=medians,
            y=[row.cc for row in rows],
            mode="markers",
            marker={"size": 11, "color": "#0072B2"},
            error_x={
                "type": "data",
                "array": [
                    high * shown.factor - median
                    for (_, high), median in zip(bounds, medians, strict=True)
                ],
                "arrayminus": [
                    median - low * shown.factor
                    for (low, _), median in zip(bounds, medians, strict=True)
                ],
            },
        )
        better = "more is better" if shown.higher_is_better else "less is better"
        figure.update_layout(
            template="plotly_white",
            title=f"{shown.title} ({better})",
            height=140 + 36 * len(rows),
            margin={"l": 90, "r": 20, "t": 48, "b": 36},
        )
        parts.append(
            figure.to_html(
                full_html=False, include_plotlyjs=not parts, config={"displayModeBar": False}
            )
        )
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
    )
    try:
        path.write_text(
            f"{head}<title>tbtest compare</title>{''.join(parts)}</html>", encoding="utf-8"
        )
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written: {error.strerror}") from error
