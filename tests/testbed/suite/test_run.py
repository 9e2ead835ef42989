"""A case of a suite, live: the run, the page, and what a second call does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from analysis.expect.evaluate import Judgement, Outcome
from testbed.suite.beside import beside
from testbed.suite.definition import load_suite
from testbed.suite.verdict import CaseResult, Line, write_junit


def suite(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", "suite", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.root
def test_a_case_is_run_once_and_stands_on_the_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    case = ("rfc8867", "--cc", "cubic", "--case", "5.8", "--scale", "0.02")
    arguments = (*case, "--out", out, "--junit", tmp_path / "suite.xml")
    done = suite(*arguments)
    assert done.returncode == 3, done.stderr  # one repeat has no interval
    markdown = (out / "suite.md").read_text()
    assert "rfc8867.html#section-5.8) | Media Pause and Resume | 2.4s × 1 |" in markdown
    assert "5.7 Media Flow Competing with Short TCP Flows | not asked for" in markdown
    page = (out / "suite.html").read_text()
    assert "1 of 12 cases were run" in page
    assert "no data</th>" not in page  # a column that nobody needs
    assert (out / "5.8" / "report.html").exists()
    report = fromstring((tmp_path / "suite.xml").read_text())
    assert [found.attrib["name"] for found in report] == ["rfc8867.5.8"]
    assert report.attrib["errors"] == report.attrib["tests"] != "0"  # none can be told
    again = suite(*arguments)
    assert again.returncode == 3
    assert "is there already" in again.stderr


def line(outcome: Outcome, held: bool | None) -> Line:
    judged = Judgement("loss_rate <= 1%", "cubic", outcome, 1, 0.0, 0.01, -0.01, None, "")
    return Line(judged, held)


def result(
    case: str, how: str, outcome: Outcome, *controllers: str, length: str = "9s"
) -> CaseResult:
    (found,) = load_suite("rfc8867").chosen((case,))
    return CaseResult(
        case=found,
        folder=Path(how) / case,
        lines={name: (line(outcome, True),) for name in controllers},
        doubts=(),
        scenario={"duration": length, "repeats": 1},
        environment={"virtual_time": {"clock": "inf-cpu"} if how == "virtual" else None},
    )


def test_folders_of_one_kind_of_run_stand_under_their_controllers() -> None:
    ours = result("5.1", "virtual", Outcome.PASS, "bbr")
    others = result("5.1", "virtual", Outcome.FAIL, "bbr", "cubic")
    (entry,) = beside([ours, others])
    assert list(entry.lines) == ["bbr", "cubic"]
    assert [entry.mark(name) for name in entry.lines] == ["✔", "✘"]
    assert [entry.kept(name) for name in (*entry.lines, "policy")] == ["1 of 1", "1 of 1", ""]
    assert entry.length == "9s × 1"


def test_live_and_virtual_runs_are_told_apart() -> None:
    runs = [
        result("5.1", "virtual", Outcome.PASS, "bbr"),
        result("5.2", "virtual", Outcome.PASS, "bbr"),
        result("5.1", "live", Outcome.FAIL, "bbr", "policy", length="1s"),
    ]
    both, one = beside(runs)
    assert list(both.lines) == ["bbr, virtual", "bbr, live", "policy, live"]
    assert both.length == "virtual 9s × 1, live 1s × 1"
    assert list(one.lines) == ["bbr, virtual"]


def test_junit_has_a_suite_for_each_case_and_for_those_that_broke(tmp_path: Path) -> None:
    runs = [
        result("5.1", "live", Outcome.PASS, "bbr"),
        result("5.2", "live", Outcome.FAIL, "bbr", "cubic"),
    ]
    write_junit("rfc8867", runs, {"5.3": "no such link"}, tmp_path / "suite.xml")
    report = fromstring((tmp_path / "suite.xml").read_text())
    assert report.attrib == {"tests": "4", "failures": "2", "errors": "1"}
    assert [found.attrib["name"] for found in report] == [
        "rfc8867.5.1",
        "rfc8867.5.2",
        "rfc8867.5.3",
    ]
    assert report[2][0][0].attrib["message"] == "no such link"


@pytest.mark.parametrize(
    ("outcome", "held", "mark"),
    [
        (Outcome.PASS, True, "✔"),
        (Outcome.FAIL, False, "✘"),
        (Outcome.UNDECIDED, True, "(✔)"),
        (Outcome.UNDECIDED, False, "(✘)"),
        (Outcome.UNDECIDED, None, "–"),
    ],
)
def test_what_the_runs_cannot_tell_stands_in_brackets(
    outcome: Outcome, held: bool | None, mark: str
) -> None:
    assert line(outcome, held).mark == mark
