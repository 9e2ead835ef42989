"""How numbers of the league are written, in Markdown and on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.league.bootstrap import Interval
from analysis.league.compare import ALL, Entry, Group
from analysis.league.table import METRICS, Metric
from analysis.league.targets import Result, WorseOnAll

NOTHING = "–"


@dataclass(frozen=True)
class CellText:
    """An entry in words: the median with its interval; the paired difference to the baseline; the win rate."""

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
    return f"{group.scenarios} scenarios on {group.traces} {'trace' if group.traces == 1 else 'traces'}"


@dataclass(frozen=True)
class TargetRow:
    """A row of the table of targets."""

    title: str
    bound: str
    scheme: str
    value: str
    difference: str
    cells: str
    verdict: str
    met: bool


def target_rows(results: Sequence[Result], families: Sequence[WorseOnAll]) -> list[TargetRow]:
    """Results by target, then scheme, as they come."""
    shown = {metric.name: metric for metric in METRICS}
    titles = list(dict.fromkeys(result.target.title for result in results))
    rows = [
        TargetRow(
            title=result.target.title,
            bound=result.target.bound,
            scheme=result.scheme,
            value=with_interval(result.value, result.ci95, 2),
            difference=NOTHING
            if result.difference is None
            else _difference(result.difference, result.difference_ci95, shown[result.target.metric]),
            cells=f"{result.met_cells:.0%} of {result.cells} on {result.traces} traces",
            verdict=_verdict(result),
            met=result.met,
        )
        for name in titles
        for result in results
        if result.target.title == name
    ]
    for judged in families:
        if judged.judged:
            rows.append(
                TargetRow(
                    title="families worse in stalls, delay and bitrate",
                    bound="none",
                    scheme=judged.scheme,
                    value=", ".join(judged.families) or "none",
                    difference=NOTHING,
                    cells=f"{judged.judged} families",
                    verdict="met" if judged.met else "not met",
                    met=judged.met,
                )
            )
    return rows


def _difference(value: float, interval: Interval | None, metric: Metric) -> str:
    """With the unit that ends the metric's title."""
    text = with_interval(value, interval, metric.digits, factor=metric.factor, sign=True)
    return f"{text} {metric.title.rpartition(' ')[2]}"


def _verdict(result: Result) -> str:
    if result.ci95 is None:
        return f"{'met' if result.met else 'not met'}, no interval"
    if result.met:
        return "met" if result.sure else "met, interval does not exclude a miss"
    return "not met"
