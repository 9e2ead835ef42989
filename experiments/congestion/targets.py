"""What the policy is to reach: against the better of bbr and cubic in each cell, and when sharing
the link.

"The better" is taken per cell and metric, so the policy is held against whichever of the two is
better at that metric in that cell. Ratios may have nothing below the line: a cell in which neither
bbr nor cubic stalls has ratio 0 if the policy does not stall either, and infinity if it does. So a
cell counts as met exactly if policy <= bound x better, and the median ratio meets a bound exactly
if at least half of the cells do. As cells without any stall say nothing about halving, each stall
target is given a second time over the cells in which the policy or the better of the two stalls.

No controller is the better of both at everything: who shows a small picture seldom stalls. So
stalls are also held against those of whichever of bbr and cubic shows more in that cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.league.compare import REFERENCES, scheme_order
from analysis.statistics import Interval, median_ci95
from experiments.congestion.curve import RIVALS

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
    """How a scheme stands to a target. cells: those that count; met_cells: share of them that meet
    the bound.

    difference: median of policy minus the better of the two, in the metric's own unit; None for
    targets without rivals.
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
    """Families in which the scheme's median ratios of stalls, queueing delay and bitrate are all
    worse than one.
    """

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
        return _Against(
            self.own[chosen], self.better[chosen], self.traces[chosen], self.families[chosen]
        )


def _against(
    cells: pd.DataFrame, scheme: str, metric: str, best: Callable[[pd.DataFrame], Floats]
) -> _Against:
    values = cells.pivot(index="scenario", columns="scheme", values=metric).astype(float)
    values = values.reindex(columns=[scheme, *RIVALS]).dropna()
    about = cells.drop_duplicates("scenario").set_index("scenario").loc[values.index]
    return _Against(
        own=values[scheme].to_numpy(),
        better=best(values[list(RIVALS)]),
        traces=about["trace"].to_numpy(dtype=object),
        families=about["family"].to_numpy(dtype=object),
    )


def _least(rivals: pd.DataFrame) -> Floats:
    return rivals.min(axis=1).to_numpy(dtype=float)


def _most(rivals: pd.DataFrame) -> Floats:
    return rivals.max(axis=1).to_numpy(dtype=float)


def _against_the_larger_picture(cells: pd.DataFrame, scheme: str, metric: str) -> _Against:
    """As `_against`, with the rival that shows the higher bitrate in place of the better one."""
    bitrates = cells.pivot(index="scenario", columns="scheme", values="bitrate_mbps")
    larger = bitrates.reindex(columns=list(RIVALS)).astype(float).dropna().idxmax(axis=1)

    def of_the_larger(rivals: pd.DataFrame) -> Floats:
        first = (larger.loc[rivals.index] == RIVALS[0]).to_numpy()
        return np.where(first, rivals[RIVALS[0]], rivals[RIVALS[1]]).astype(float)

    return _against(cells[cells["scenario"].isin(larger.index)], scheme, metric, of_the_larger)


def _ratio_result(target: Target, scheme: str, pair: _Against, *, empty: float) -> Result | None:
    if not len(pair.own):
        return None
    values = ratios(pair.own, pair.better, empty=empty)
    traces = [str(name) for name in pair.traces]
    value, ci95 = median_ci95(values.tolist(), traces)
    difference, difference_ci95 = median_ci95((pair.own - pair.better).tolist(), traces)
    met = float(np.mean([target.holds(each) for each in values]))
    return Result(
        target, scheme, len(values), len(set(traces)), value, ci95, met, difference, difference_ci95
    )


def _value_result(target: Target, scheme: str, cells: pd.DataFrame) -> Result | None:
    rows = cells[(cells["scheme"] == scheme) & cells[target.metric].notna()]
    if not len(rows):
        return None
    traces = rows["trace"].tolist()
    value, ci95 = median_ci95(rows[target.metric].tolist(), traces)
    met = float(np.mean([target.holds(each) for each in rows[target.metric]]))
    return Result(target, scheme, len(rows), len(set(traces)), value, ci95, met)


def judged_schemes(frame: pd.DataFrame) -> list[str]:
    """The policies of the table."""
    schemes = scheme_order(frame["scheme"].tolist())
    return [
        scheme for scheme in schemes if scheme.startswith("policy") and scheme not in REFERENCES
    ]


def results(frame: pd.DataFrame, scheme: str) -> list[Result]:
    """Every target for which the table has cells. frame: the league's table."""
    alone = frame[(frame["flows"] == 1) & (frame["cross"] == "")]
    video, bulk = alone[alone["flow"] == "video"], alone[alone["flow"] == "bulk"]
    found: list[Result | None] = []
    for metric, limit in (("stall_100", 100), ("stall_200", 200)):
        pair = _against(video, scheme, metric, _least)
        stalling = pair.only((pair.own > 0) | (pair.better > 0))
        title = f"stall rate >{limit} ms, ratio"
        found += [
            _ratio_result(Target(title, metric, 0.0, 0.5), scheme, pair, empty=0.0),
            _ratio_result(
                Target(f"{title}, only cells with stalls", metric, 0.0, 0.5),
                scheme,
                stalling,
                empty=0.0,
            ),
            _ratio_result(
                Target(f"{title} to who shows more", metric, 0.0, 0.5),
                scheme,
                _against_the_larger_picture(video, scheme, metric),
                empty=0.0,
            ),
        ]
    pair = _against(video, scheme, "qdelay_p95_ms", _least)
    delay = Target("queueing delay p95, ratio", "qdelay_p95_ms", 0.0, 0.5)
    found.append(_ratio_result(delay, scheme, pair, empty=0.0))
    for title, metric, cells in (
        ("displayed bitrate, ratio", "bitrate_mbps", video),
        ("bulk throughput, ratio", "throughput_mbps", bulk),
    ):
        pair = _against(cells, scheme, metric, _most)
        found.append(_ratio_result(Target(title, metric, 0.95, np.inf), scheme, pair, empty=1.0))
    two = frame[(frame["flows"] == 2) & (frame["cross"] == "")]
    found.append(
        _value_result(Target("Jain's index of two flows", "jain", 0.95, np.inf), scheme, two)
    )
    one = frame[(frame["flows"] == 1) & (frame["cross"] == "cubic")]
    share = Target("share of the link against one cubic flow", "share", 0.25, 0.75)
    found.append(_value_result(share, scheme, one))
    return [result for result in found if result is not None]


def worse_on_all(frame: pd.DataFrame, scheme: str) -> WorseOnAll:
    """Families in which nothing speaks for the scheme: more stalls, more delay and less bitrate, by
    median ratio.
    """
    video = frame[(frame["flows"] == 1) & (frame["cross"] == "") & (frame["flow"] == "video")]
    stalls = _against(video, scheme, "stall_100", _least)
    delays = _against(video, scheme, "qdelay_p95_ms", _least)
    rates = _against(video, scheme, "bitrate_mbps", _most)
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
    return median_ci95(ratios(own.own, own.better, empty=empty).tolist(), ["one"] * len(own.own))[0]


def to_reach(frame: pd.DataFrame) -> tuple[Sequence[Result], Sequence[WorseOnAll]]:
    """All policies against all targets."""
    schemes = judged_schemes(frame)
    every = [result for scheme in schemes for result in results(frame, scheme)]
    return every, [worse_on_all(frame, scheme) for scheme in schemes]
