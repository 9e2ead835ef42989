"""The command lines that runs say they came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.suites.commands import command_lines
from testbed.suite.definition import load_suite
from testbed.suite.verdict import CaseResult

SUITE = load_suite("rfc8867")


def result(case: int, virtual: bool = True, **scenario: Any) -> CaseResult:
    asked = {"cc": ["bbr", "cubic"], "repeats": 5, "duration": "20s", **scenario}
    chosen = replace(SUITE.cases[case], data={"duration": "100s"})
    environment = {"virtual_time": {}} if not virtual else {"virtual_time": {"clock": "inf-cpu"}}
    return CaseResult(chosen, Path(), {}, (), asked, environment)


def test_cases_that_ran_alike_have_one_line() -> None:
    whole = [result(number) for number in range(len(SUITE.cases))]
    line = "tbtest suite rfc8867 --virtual --cc bbr,cubic --scale 0.2 --repeats 5"
    assert command_lines(SUITE, whole) == [line]
    assert command_lines(SUITE, whole[:2]) == [f"{line}  # 5.1, 5.2"]


def test_every_way_has_its_line() -> None:
    found = command_lines(
        SUITE,
        [result(0), result(0, virtual=False, cc=["policy"], repeats=1, duration="100s")],
    )
    assert found[1] == "tbtest suite rfc8867 --cc policy  # 5.1"
