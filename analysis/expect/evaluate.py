"""Judging expectations over the repeats of a run, paired by repeat and seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from analysis.compare import conditions
from analysis.errors import AnalysisError
from analysis.expect.expression import Expectation, Name, Node, parse, value
from analysis.measure import cell_values, measure_cell
from analysis.metrics.schema import CellMetrics
from analysis.run import Run, load_run
from analysis.statistics import MIN_CELLS, Interval, median_ci95

Key = tuple[int, int]
"""Repeat and seed: cells of one pair differ in their controller, or in the run, alone."""
Cells = Mapping[str, Mapping[Key, Sequence[CellMetrics]]]
"""Measured flows by controller and pair."""


class Outcome(StrEnum):
    """What the data say of an expectation."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Judgement:
    """An expectation, judged. ``left`` and ``right`` are medians of its sides; ``difference`` is
    the median of left minus right over ``pairs``, with its 95 % interval.
    """

    text: str
    controller: str | None  # where it is of every controller in turn
    outcome: Outcome
    pairs: int
    left: float
    right: float
    difference: float
    ci95: Interval | None
    reason: str

    @property
    def name(self) -> str:
        """The text, with the controller where it does not name one."""
        return f"{self.text} [{self.controller}]" if self.controller else self.text


def exit_status(judged: Sequence[Judgement]) -> int:
    """0: all pass; 1: one fails; 3: none fails, and of one the data cannot tell."""
    outcomes = {judgement.outcome for judgement in judged}
    if Outcome.FAIL in outcomes:
        return 1
    return 3 if Outcome.UNDECIDED in outcomes else 0


def judge_runs(texts: Sequence[str], folder: Path, baseline: Path | None = None) -> list[Judgement]:
    """Judge expectations of the run in ``folder``, against the run in ``baseline`` where they name
    one. Raises AnalysisError.
    """
    run = load_run(folder)
    cells = _cells(run)
    before = None
    if baseline is not None:
        other = load_run(baseline)
        _check_comparable(run, other)
        before = _cells(other)
    controllers = set(cells) | set(before or ())
    return [
        judgement for text in texts for judgement in judge(parse(text, controllers), cells, before)
    ]


def judge(expectation: Expectation, cells: Cells, baseline: Cells | None) -> list[Judgement]:
    """One judgement, or one per controller. Raises AnalysisError if it needs a baseline and there
    is none.
    """
    if baseline is None and any(name.baseline for name in expectation.names):
        raise AnalysisError(
            f"expectation {expectation.text!r}: it names a baseline; use `tbtest compare BASELINE "
            "RUN --expect ...`"
        )
    if expectation.of_every_controller:
        return [_judge(expectation, cells, baseline, controller) for controller in sorted(cells)]
    return [_judge(expectation, cells, baseline, None)]


def _judge(
    expectation: Expectation, cells: Cells, baseline: Cells | None, controller: str | None
) -> Judgement:
    keys = sorted({key for by_key in cells.values() for key in by_key})

    def side(node: Node, key: Key) -> float:
        def metric(name: Name) -> float:
            found = baseline if name.baseline else cells
            assert found is not None
            return _mean(found.get(name.controller or controller or "", {}).get(key, ()), name.path)

        return value(node, metric)

    both = [(side(expectation.left, key), side(expectation.right, key)) for key in keys]
    both = [(left, right) for left, right in both if not math.isnan(left - right)]
    judged = Judgement(
        text=expectation.text,
        controller=controller,
        outcome=Outcome.UNDECIDED,
        pairs=len(both),
        left=median_ci95([left for left, _ in both])[0],
        right=median_ci95([right for _, right in both])[0],
        difference=math.nan,
        ci95=None,
        reason="no cell has these metrics",
    )
    if not both:
        return judged
    difference, ci95 = median_ci95([left - right for left, right in both])
    judged = replace(judged, difference=difference, ci95=ci95)
    if ci95 is None:
        reason = f"{len(both)} pairs, and an interval needs {MIN_CELLS}; give --repeats {MIN_CELLS}"
        return replace(judged, reason=reason)
    outcome, reason = _decide(expectation.comparison, ci95)
    return replace(judged, outcome=outcome, reason=reason)


def _decide(comparison: str, ci95: Interval) -> tuple[Outcome, str]:
    """The whole interval of left minus right must lie on one side of zero."""
    low, high = ci95 if comparison[0] == "<" else (-ci95[1], -ci95[0])
    strict = len(comparison) == 1
    if high < 0 or (high == 0 and not strict):
        return Outcome.PASS, "the whole interval keeps it"
    if low > 0 or (low == 0 and strict):
        return Outcome.FAIL, "the whole interval breaks it"
    return Outcome.UNDECIDED, "the interval lies on both sides; more repeats may tell"


def _cells(run: Run) -> dict[str, dict[Key, list[CellMetrics]]]:
    found: dict[str, dict[Key, list[CellMetrics]]] = {}
    for cell in run.cells:
        own = found.setdefault(cell.cc, {}).setdefault((cell.repeat, cell.seed), [])
        own.extend(measure_cell(cell))
    return found


def _mean(flows: Sequence[CellMetrics], path: str) -> float:
    """Over the cells' flows that have the metric."""
    known = [found for found in cell_values(flows, path).values() if not math.isnan(found)]
    return sum(known) / len(known) if known else math.nan


def _check_comparable(run: Run, baseline: Run) -> None:
    here, there = conditions(run), conditions(baseline)
    differing = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
    if differing:
        raise AnalysisError(
            f"{baseline.folder}: it ran another scenario than {run.folder}: {', '.join(differing)} "
            "differ; only the program under test may"
        )
