"""Schemes against a baseline, paired by scenario: medians, differences, win rates and winners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.metrics.table import LEAGUE, Metric
from analysis.statistics import Interval, median_ci95

ALL = "all"
REFERENCES = frozenset({"policy:oracle"})
"""Schemes that know what no scheme can: shown, but never winners."""


@dataclass(frozen=True)
class Entry:
    """One metric of one scheme over the cells of a group.

    Differences are scheme minus baseline over `pairs` scenarios that both ran. `wins` and `ties`
    are shares of the pairs in which the scheme is better than, or exactly equal to, the baseline;
    None where neither way is better.
    """

    scheme: str
    metric: Metric
    cells: int
    traces: int
    median: float
    ci95: Interval | None
    pairs: int
    difference: float | None
    difference_ci95: Interval | None
    wins: float | None
    ties: float | None
    winner: bool


@dataclass(frozen=True)
class Group:
    """Cells of one family (or `ALL`) and one kind of traffic. baseline: None if it ran in none of
    them.
    """

    family: str
    traffic: str
    scenarios: int
    traces: int
    baseline: str | None
    schemes: tuple[str, ...]
    entries: tuple[Entry, ...]

    def of(self, metric: str, scheme: str) -> Entry | None:
        """The entry; None if no cell has the metric."""
        return next(
            (
                entry
                for entry in self.entries
                if entry.metric.name == metric and entry.scheme == scheme
            ),
            None,
        )

    @property
    def metrics(self) -> list[Metric]:
        """Those that any cell has, in order."""
        found = {entry.metric.name for entry in self.entries}
        return [metric for metric in LEAGUE if metric.name in found]


def is_reference(scheme: str) -> bool:
    """Whether the scheme, or its controller where it also names who chose levels, is one."""
    return scheme.partition(" + ")[0] in REFERENCES


def scheme_order(schemes: Sequence[str]) -> list[str]:
    """Policies first, the whole one before its parts, then the kernel's, references last."""
    return sorted(
        set(schemes), key=lambda name: (is_reference(name), not name.startswith("policy"), name)
    )


def default_baseline(schemes: Sequence[str]) -> str:
    """bbr, or cubic, or whichever comes first; of streams under robust-mpc if there are such."""
    wanted = [name + levels for name in ("bbr", "cubic") for levels in ("", " + robust-mpc")]
    return next((name for name in wanted if name in schemes), scheme_order(schemes)[-1])


def groups(frame: pd.DataFrame, baseline: str) -> list[Group]:
    """All families together, then each, by kind of traffic. frame: the league's table."""
    families = [ALL, *sorted(frame["family"].unique())]
    if len(families) == 2:
        families = [ALL]  # of one family, all is that family
    kinds = frame.drop_duplicates("traffic").sort_values(
        ["flows", "cross", "flow", "traffic"],
        key=lambda column: column if column.name != "flow" else column != "video",
    )
    traffics = kinds["traffic"].tolist()  # alone before shared, video before the rest
    found = []
    for family in families:
        part = frame if family == ALL else frame[frame["family"] == family]
        for traffic in traffics:
            cells = part[part["traffic"] == traffic]
            if len(cells):
                found.append(compare(cells, baseline, family, traffic))
    return found


def compare(cells: pd.DataFrame, baseline: str, family: str, traffic: str) -> Group:
    """One group's entries. cells: rows of the table, one per scenario and scheme."""
    schemes = scheme_order(cells["scheme"].tolist())
    trace_of = cells.drop_duplicates("scenario").set_index("scenario")["trace"]
    entries: list[Entry] = []
    for metric in LEAGUE:
        values = cells.pivot(index="scenario", columns="scheme", values=metric.name).astype(float)
        values = values.dropna(axis="columns", how="all")
        traces = trace_of.loc[values.index].tolist()
        winner = _winner(values, traces, metric)
        for scheme in (scheme for scheme in schemes if scheme in values.columns):
            entries.append(_entry(values, traces, metric, scheme, baseline, scheme == winner))
    return Group(
        family=family,
        traffic=traffic,
        scenarios=int(cells["scenario"].nunique()),
        traces=int(cells["trace"].nunique()),
        baseline=baseline if baseline in schemes else None,
        schemes=tuple(schemes),
        entries=tuple(entries),
    )


def _entry(
    values: pd.DataFrame,
    traces: Sequence[str],
    metric: Metric,
    scheme: str,
    baseline: str,
    winner: bool,
) -> Entry:
    own = values[scheme]
    median, ci95 = median_ci95(own.tolist(), traces)
    pairs, difference, difference_ci95, wins, ties = 0, None, None, None, None
    if scheme != baseline and baseline in values.columns:
        differences = own - values[baseline]
        known = differences.dropna()
        pairs = len(known)
        if pairs:
            difference, difference_ci95 = median_ci95(differences.tolist(), traces)
            if metric.higher_is_better is not None:
                better = known > 0 if metric.higher_is_better else known < 0
                wins, ties = float(better.mean()), float((known == 0).mean())
    count = own.notna()
    return Entry(
        scheme=scheme,
        metric=metric,
        cells=int(count.sum()),
        traces=len(set(np.asarray(traces, dtype=object)[count.to_numpy()])),
        median=median,
        ci95=ci95,
        pairs=pairs,
        difference=difference,
        difference_ci95=difference_ci95,
        wins=wins,
        ties=ties,
        winner=winner,
    )


def _winner(values: pd.DataFrame, traces: Sequence[str], metric: Metric) -> str | None:
    """The scheme whose paired difference to every other is on the better side, interval and all."""
    contenders = [scheme for scheme in values.columns if not is_reference(scheme)]
    if not metric.crowned or metric.higher_is_better is None or len(contenders) < 2:
        return None
    sign = 1.0 if metric.higher_is_better else -1.0
    medians = {
        scheme: sign * float(np.nanmedian(values[scheme].to_numpy())) for scheme in contenders
    }
    best = max(contenders, key=medians.__getitem__)
    for other in contenders:
        if other == best:
            continue
        _, interval = median_ci95((sign * (values[best] - values[other])).tolist(), traces)
        if interval is None or interval[0] <= 0:
            return None
    return str(best)
