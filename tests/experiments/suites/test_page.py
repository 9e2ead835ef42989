"""The page of all suites: what is counted, and what each row says."""

from __future__ import annotations

import math
from pathlib import Path

from analysis.expect.evaluate import Judgement, Outcome
from experiments.suites.page import Found, overview, table
from testbed.suite.beside import beside
from testbed.suite.definition import load_suite
from testbed.suite.verdict import CaseResult, Line

SUITE = load_suite("rfc9743")
TEXTS = ["completed_share >= 95%", "short_fct_p95_ms <= 500"]


def result(controller: str, *held: bool | None) -> CaseResult:
    """Of 5.1.5; the first expectation is beyond doubt."""
    case = next(case for case in SUITE.cases if case.name == "5.1.5")
    outcomes = (Outcome.PASS if held[0] else Outcome.FAIL, Outcome.UNDECIDED)
    lines = tuple(
        Line(Judgement(text, controller, outcome, 5, 0.5, 1, -0.5, None, ""), kept)
        for text, outcome, kept in zip(TEXTS, outcomes, held, strict=True)
    )
    scenario = {"duration": "7.5s", "repeats": 5, "cc": [controller]}
    virtual = {"virtual_time": {"clock": "inf-cpu"}}
    return CaseResult(case, Path(), {controller: lines}, (), scenario, virtual)


def found(*results: CaseResult) -> Found:
    return Found(SUITE, results, tuple(beside(results)))


def test_expectations_are_counted_by_controller() -> None:
    both = found(result("cubic", True, False), result("policy", True, True))
    assert both.columns == ["policy", "cubic"]
    policy, cubic = overview([both], both.columns)[2:]
    assert policy == "| RFC 9743 | policy | 1 of 24 | 1 | 2 of 2, 1 beyond doubt |"
    assert cubic == "| RFC 9743 | cubic | 1 of 24 | 0 | 1 of 2, 1 beyond doubt |"
    assert both.covered == "1 of the standard's 25 sections are run."
    assert len(both.missing) == len(SUITE.cases) - 1


def test_a_row_has_a_mark_and_a_figure_for_each_expectation() -> None:
    row = table(found(result("cubic", False, True)))[2]
    assert "<br>7.5s × 5 | Short Flows: " in row
    assert row.endswith("| ✘ 0.5<br>(✔) 0.5 |")


def test_what_has_no_data_is_a_dash() -> None:
    bare = result("cubic", True, None)
    line = bare.lines["cubic"][1]
    nothing = Line(Judgement(line.text, "cubic", line.outcome, 0, math.nan, 1, 0, None, ""), None)
    bare.lines["cubic"] = (bare.lines["cubic"][0], nothing)
    assert table(found(bare))[2].endswith("| ✔ 0.5<br>– – |")
