"""The summary as a table on a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from analysis.metrics.schema import Doubt, Metrics, Summary
from analysis.metrics.table import RUN


def format_value(entry: Summary, factor: float, digits: int) -> str:
    """``12.34 [11.9, 12.8]``, or the median alone where there is no interval."""
    if entry.median is None:
        return "–"
    text = f"{entry.median * factor:.{digits}f}"
    if entry.ci95 is None:
        return text
    low, high = (f"{bound * factor:.{digits}f}" for bound in entry.ci95)
    return f"{text} [{low}, {high}]"


def first_doubts(metrics: Metrics) -> dict[str, Doubt]:
    """Controller -> the first reason why its column does not hold what its name says."""
    found: dict[str, Doubt] = {}
    for doubt in metrics.doubts:
        found.setdefault(doubt.cc, doubt)
    return found


def summary_table(metrics: Metrics) -> Table:
    """One row per metric, one column per controller; bold where the intervals separate it from all
    others. Under the name of a policy whose column holds something else stands what.
    """
    controllers = list(dict.fromkeys(entry.cc for entry in metrics.summary))
    cells = max((entry.cells for entry in metrics.summary), default=0)
    intervals = any(entry.ci95 for entry in metrics.summary)
    caption = f"median of {cells} cells" if cells > 1 else "one cell per controller"
    caption += " with 95 % bootstrap interval; bold: separate from all others" if intervals else ""
    if metrics.doubts:
        caption += "; !: this column is not what its name says, see the warnings above"
    table = Table(caption=caption, caption_justify="left")
    table.add_column("median over cells" if cells > 1 else "")
    doubts = first_doubts(metrics)
    for cc in controllers:
        doubt = f"\n[bold yellow]! {escape(doubts[cc].short)}[/]" if cc in doubts else ""
        table.add_column(f"{escape(cc)}{doubt}", justify="right")
    for shown in RUN:
        row = {entry.cc: entry for entry in metrics.summary if entry.metric == shown.path}
        if not row:
            continue
        texts = []
        for cc in controllers:
            text = format_value(row[cc], shown.factor, shown.digits)
            texts.append(f"[bold]{text}[/]" if row[cc].winner else text)
        table.add_row(shown.title, *texts)
    return table
