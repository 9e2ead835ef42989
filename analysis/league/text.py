"""How numbers of the league are written, in Markdown and on the page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.league.compare import ALL, Entry, Group
from analysis.metrics.table import Metric
from analysis.statistics import Interval

NOTHING = "–"


@dataclass(frozen=True)
class CellText:
    """An entry in words: the median with its interval; the paired difference to the baseline; the
    win rate.
    """

    median: str
    difference: str
    wins: str
    winner: bool


def number(value: float, digits: int, sign: bool = False) -> str:
    """`12.3`, `+0.40`, `∞`; a minus sign, not a hyphen."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−")


def with_interval(
    value: float, interval: Interval | None, digits: int, *, factor: float = 1.0, sign: bool = False
) -> str:
    """`12.3 [11.9, 12.8]`, or the value alone."""
    text = number(value * factor, digits, sign)
    if interval is None:
        return text
    low, high = (number(bound * factor, digits, sign) for bound in interval)
    return f"{text} [{low}, {high}]"


def title(metric: Metric) -> str:
    """With an arrow to where better is."""
    arrow = {True: "↑ ", False: "↓ ", None: ""}[metric.higher_is_better]
    return f"{arrow}{metric.title}"


def cell_text(entry: Entry | None) -> CellText | None:
    """None where the scheme has no such metric."""
    if entry is None or math.isnan(entry.median):
        return None
    metric = entry.metric
    difference, wins = "", ""
    if entry.difference is not None:
        difference = with_interval(
            entry.difference, entry.difference_ci95, metric.digits, factor=metric.factor, sign=True
        )
    if entry.wins is not None:
        wins = f"better in {entry.wins:.0%}"
        if entry.ties:
            wins += f", equal in {entry.ties:.0%}"
    return CellText(
        with_interval(entry.median, entry.ci95, metric.digits, factor=metric.factor),
        difference,
        wins,
        entry.winner,
    )


def group_title(group: Group) -> str:
    """Family and traffic."""
    return f"{'All families' if group.family == ALL else group.family}: {group.traffic}"


def group_facts(group: Group) -> str:
    """What the numbers stand on."""
    return (
        f"{group.scenarios} {'scenario' if group.scenarios == 1 else 'scenarios'} on "
        f"{traces_text(group.traces)}"
    )


def traces_text(count: int) -> str:
    """`1 trace`, `2 traces`."""
    return f"{count} {'trace' if count == 1 else 'traces'}"
