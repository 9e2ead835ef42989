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
        f"{_traces(group.traces)}"
    )


@dataclass(frozen=True)
class TargetText:
    """How a scheme stands to a target, in words; `met` is of the median."""

    value: str
    details: tuple[str, ...]
    verdict: str
    met: bool


@dataclass(frozen=True)
class TargetRow:
    """A row of the table of targets: one text per scheme, None where it has no cells."""

    title: str
    bound: str
    texts: tuple[TargetText | None, ...]


def target_rows(
    schemes: Sequence[str], results: Sequence[Result], families: Sequence[WorseOnAll]
) -> list[TargetRow]:
    """Targets in the order of the results."""
    found = {(result.target.title, result.scheme): result for result in results}
    rows = []
    for target in dict.fromkeys(result.target for result in results):
        of_schemes = [found.get((target.title, scheme)) for scheme in schemes]
        texts = tuple(None if result is None else _target_text(result) for result in of_schemes)
        rows.append(TargetRow(target.title, target.bound, texts))
    judged = {each.scheme: each for each in families if each.judged}
    if judged:
        texts = tuple(
            _families_text(judged[scheme]) if scheme in judged else None for scheme in schemes
        )
        rows.append(TargetRow("families worse in stalls, delay and bitrate", "none", texts))
    return rows


def _target_text(result: Result) -> TargetText:
    shown = next(metric for metric in METRICS if metric.name == result.target.metric)
    details = [f"in {result.met_cells:.0%} of {result.cells} cells, {_traces(result.traces)}"]
    if result.difference is not None:
        details.insert(0, _difference(result.difference, result.difference_ci95, shown))
    return TargetText(
        with_interval(result.value, result.ci95, 2), tuple(details), _verdict(result), result.met
    )


def _families_text(judged: WorseOnAll) -> TargetText:
    names = ", ".join(judged.families) or "none"
    return TargetText(
        names, (f"of {judged.judged}",), "met" if judged.met else "not met", judged.met
    )


def _traces(count: int) -> str:
    return f"{count} {'trace' if count == 1 else 'traces'}"


def _difference(value: float, interval: Interval | None, metric: Metric) -> str:
    """With the unit that ends the metric's title; differences of percentages are points."""
    text = with_interval(value, interval, metric.digits, factor=metric.factor, sign=True)
    unit = metric.title.rpartition(" ")[2]
    return f"{text} {'points' if unit == '%' else unit}"


def _verdict(result: Result) -> str:
    if result.ci95 is None:
        return f"{'met' if result.met else 'not met'}, no interval"
    if result.met:
        return "met" if result.sure else "met, interval reaches beyond"
    return "not met"
