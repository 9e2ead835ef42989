"""The command lines that runs of a suite came from, from what the runs say of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.suite.definition import Suite
from testbed.suite.verdict import CaseResult
from testbed.units import parse_duration_ns


def command_lines(suite: Suite, results: Sequence[CaseResult]) -> list[str]:
    """One line for each way in which cases were run: time, controllers, scale and repeats; with the
    cases where it was not all of the suite.
    """
    ways: dict[str, list[str]] = {}
    for result in results:
        ways.setdefault(_way(suite, result), []).append(result.case.name)
    return [
        line if len(cases) == len(suite.cases) else f"{line}  # {_some(cases, len(suite.cases))}"
        for line, cases in ways.items()
    ]


def _some(cases: Sequence[str], total: int) -> str:
    if len(cases) > 6:
        return f"{len(cases)} of {total} cases"
    return ", ".join(cases)


def _way(suite: Suite, result: CaseResult) -> str:
    parts = ["tbtest suite", suite.name]
    if result.how == "virtual":
        parts.append("--virtual")
    parts.append(f"--cc {','.join(result.scenario['cc'])}")
    whole_ns = parse_duration_ns(result.case.data["duration"])
    scale = parse_duration_ns(result.scenario["duration"]) / whole_ns
    if abs(scale - 1) > 1e-6:
        parts.append(f"--scale {scale:.3g}")
    if result.scenario["repeats"] != 1:
        parts.append(f"--repeats {result.scenario['repeats']}")
    return " ".join(parts)
