"""How results of the targets are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.league.text import traces_text, with_interval
from analysis.metrics.table import METRICS, Metric
from analysis.statistics import Interval
from experiments.congestion.targets import Result, WorseOnAll


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
    details = [f"in {result.met_cells:.0%} of {result.cells} cells, {traces_text(result.traces)}"]
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
