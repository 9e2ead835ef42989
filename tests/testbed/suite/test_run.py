"""A case of a suite, live: the run, the page, and what a second call does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.expect.evaluate import Outcome
from testbed.suite.verdict import Line


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
    arguments = ("rfc8867", "--cc", "cubic", "--case", "5.8", "--scale", "0.02", "--out", out)
    done = suite(*arguments)
    assert done.returncode == 3, done.stderr  # one repeat has no interval
    markdown = (out / "suite.md").read_text()
    assert "rfc8867.html#section-5.8) | Media Pause and Resume | 2.4s × 1 |" in markdown
    assert "5.7 Media Flow Competing with Short TCP Flows | not asked for" in markdown
    page = (out / "suite.html").read_text()
    assert "1 of 12 cases were run" in page
    assert (out / "5.8" / "report.html").exists()
    again = suite(*arguments)
    assert again.returncode == 3
    assert "is there already" in again.stderr


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
    assert Line("loss_rate <= 1%", outcome, held, 0.0, 0.01, 1).mark == mark
