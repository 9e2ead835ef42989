"""What the policy is to reach: against the better of bbr and cubic in each cell, and when sharing the link.

"The better" is taken per cell and metric, so the policy is held against whichever of the two is better at that metric
in that cell. Ratios may have nothing below the line: a cell in which neither bbr nor cubic stalls has ratio 0 if the
policy does not stall either, and infinity if it does. So a cell counts as met exactly if policy <= bound x better, and
the median ratio meets a bound exactly if at least half of the cells do. As cells without any stall say nothing about
halving, each stall target is given a second time over the cells in which the policy or the better of the two stalls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.league.bootstrap import Interval, cluster_median_ci95
from analysis.league.compare import REFERENCES, scheme_order

RIVALS = ("bbr", "cubic")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """A bound on the median over cells: `low` <= value <= `high`. metric: a column of the table."""

    title: str
    metric: str
    low: float
    high: float

    @property
    def bound(self) -> str:
        """In words."""
        if np.isinf(self.high):
            return f"at least {self.low:g}"
        if self.low <= 0:
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"

    def holds(self, value: float) -> bool:
        """Whether a value is within; NaN is not."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Result:
    """How a scheme stands to a target. cells: those that count; met_cells: share of them that meet the bound.

    difference: median of policy minus the better of the two, in the metric's own unit; None for targets without rivals.
    """

    target: Target
    scheme: str
    cells: int
    traces: int
    value: float
    ci95: Interval | None
    met_cells: float
    difference: float | None = None
    difference_ci95: Interval | None = None

    @property
    def met(self) -> bool:
        """Of the median."""
        return self.target.holds(self.value)

    @property
    def sure(self) -> bool:
        """Whether the whole interval is within the bound."""
        return self.ci95 is not None and all(self.target.holds(bound) for bound in self.ci95)


@dataclass(frozen=True)
class WorseOnAll:
    """Families in which the scheme's median ratios of stalls, queueing delay and bitrate are all worse than one."""

    scheme: str
    families: tuple[str, ...]
    judged: int

    @property
    def met(self) -> bool:
        """That there is none, of at least one that could be judged."""
        return not self.families and self.judged > 0


def ratios(own: Floats, better: Floats, *, empty: float) -> Floats:
    """own / better per cell; 0/0 is `empty`, x/0 infinity, and NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = own / better
    return np.where((own == 0) & (better == 0), empty, quotient)


@dataclass(frozen=True)
class _Against:
    """Policy and the better rival over cells that all three ran. own, better: float64[n]."""

    own: Floats
    better: Floats
    traces: npt.NDArray[np.object_]
    families: npt.NDArray[np.object_]

    def only(self, chosen: npt.NDArray[np.bool_]) -> _Against:
        return _Against(self.own[chosen], self.better[chosen], self.traces[chosen], self.families[chosen])


def _against(
    cells: pd.DataFrame, scheme: str, metric: str, best: Callable[[Floats, Floats], Floats]
) -> _Against:
    values = cells.pivot(index="scenario", columns="scheme", values=metric).astype(float)
    values = values.reindex(columns=[scheme, *RIVALS]).dropna()
    about = cells.drop_duplicates("scenario").set_index("scenario").loc[values.index]
    rivals = [values[name].to_numpy() for name in RIVALS]
    return _Against(
        own=values[scheme].to_numpy(),
        better=best(rivals[0], rivals[1]),
        traces=about["trace"].to_numpy(dtype=object),
        families=about["family"].to_numpy(dtype=object),
    )


def _ratio_result(target: Target, scheme: str, pair: _Against, *, empty: float) -> Result | None:
    if not len(pair.own):
        return None
    values = ratios(pair.own, pair.better, empty=empty)
    traces = [str(name) for name in pair.traces]
    value, ci95 = cluster_median_ci95(values.tolist(), traces)
    difference, difference_ci95 = cluster_median_ci95((pair.own - pair.better).tolist(), traces)
    met = float(np.mean([target.holds(each) for each in values]))
    return Result(
        target, scheme, len(values), len(set(traces)), value, ci95, met, difference, difference_ci95
    )


def _value_result(target: Target, scheme: str, cells: pd.DataFrame) -> Result | None:
    rows = cells[(cells["scheme"] == scheme) & cells[target.metric].notna()]
    if not len(rows):
        return None
    traces = rows["trace"].tolist()
    value, ci95 = cluster_median_ci95(rows[target.metric].tolist(), traces)
    met = float(np.mean([target.holds(each) for each in rows[target.metric]]))
    return Result(target, scheme, len(rows), len(set(traces)), value, ci95, met)


def judged_schemes(frame: pd.DataFrame) -> list[str]:
    """The policies of the table."""
    schemes = scheme_order(frame["scheme"].tolist())
    return [scheme for scheme in schemes if scheme.startswith("policy") and scheme not in REFERENCES]


def results(frame: pd.DataFrame, scheme: str) -> list[Result]:
    """Every target for which the table has cells. frame: the league's table."""
    alone = frame[(frame["flows"] == 1) & (frame["cross"] == "")]
    video, bulk = alone[alone["flow"] == "video"], alone[alone["flow"] == "bulk"]
    found: list[Result | None] = []
    for metric, limit in (("stall_100", 100), ("stall_200", 200)):
        pair = _against(video, scheme, metric, np.minimum)
        stalling = pair.only((pair.own > 0) | (pair.better > 0))
        title = f"stall rate >{limit} ms, ratio"
        found += [
            _ratio_result(Target(title, metric, 0.0, 0.5), scheme, pair, empty=0.0),
            _ratio_result(
                Target(f"{title}, only cells with stalls", metric, 0.0, 0.5), scheme, stalling, empty=0.0
            ),
        ]
    for title, metric, cells in (
        ("displayed bitrate, ratio", "bitrate_mbps", video),
        ("bulk throughput, ratio", "throughput_mbps", bulk),
    ):
        pair = _against(cells, scheme, metric, np.maximum)
        found.append(_ratio_result(Target(title, metric, 0.95, np.inf), scheme, pair, empty=1.0))
    pair = _against(video, scheme, "qdelay_p95_ms", np.minimum)
    delay = Target("queueing delay p95, ratio", "qdelay_p95_ms", 0.0, 0.5)
    found.insert(4, _ratio_result(delay, scheme, pair, empty=0.0))
    two = frame[(frame["flows"] == 2) & (frame["cross"] == "")]
    found.append(_value_result(Target("Jain's index of two flows", "jain", 0.95, np.inf), scheme, two))
    one = frame[(frame["flows"] == 1) & (frame["cross"] == "cubic")]
    share = Target("share of the link against one cubic flow", "share", 0.25, 0.75)
    found.append(_value_result(share, scheme, one))
    return [result for result in found if result is not None]


def worse_on_all(frame: pd.DataFrame, scheme: str) -> WorseOnAll:
    """Families in which nothing speaks for the scheme: more stalls, more delay and less bitrate, by median ratio."""
    video = frame[(frame["flows"] == 1) & (frame["cross"] == "") & (frame["flow"] == "video")]
    stalls = _against(video, scheme, "stall_100", np.minimum)
    delays = _against(video, scheme, "qdelay_p95_ms", np.minimum)
    rates = _against(video, scheme, "bitrate_mbps", np.maximum)
    families = sorted(set(stalls.families) & set(delays.families) & set(rates.families))
    worse = [
        family
        for family in families
        if _median_ratio(stalls, family, 0.0) > 1
        and _median_ratio(delays, family, 0.0) > 1
        and _median_ratio(rates, family, 1.0) < 1
    ]
    return WorseOnAll(scheme, tuple(worse), len(families))


def _median_ratio(pair: _Against, family: str, empty: float) -> float:
    own = pair.only(pair.families == family)
    return cluster_median_ci95(ratios(own.own, own.better, empty=empty).tolist(), ["one"] * len(own.own))[0]


def to_reach(frame: pd.DataFrame) -> tuple[Sequence[Result], Sequence[WorseOnAll]]:
    """All policies against all targets."""
    schemes = judged_schemes(frame)
    every = [result for scheme in schemes for result in results(frame, scheme)]
    return every, [worse_on_all(frame, scheme) for scheme in schemes]
