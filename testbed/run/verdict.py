"""What becomes of expectations: printed, written as JUnit and Markdown, and an exit status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from analysis.expect.evaluate import Judgement, exit_status, judge_runs
from analysis.expect.output import junit, line, markdown


def judge_and_tell(
    texts: Sequence[str],
    folder: Path,
    *,
    baseline: Path | None = None,
    junit_path: Path | None = None,
    summary_path: Path | None = None,
) -> int:
    """Judge the run in ``folder``, print one line per expectation to stderr, write the files asked
    for; returns the exit status: 0 all hold, 1 one fails, 3 the data cannot tell.

    The Markdown summary is appended, as GitHub's $GITHUB_STEP_SUMMARY wants it. Raises
    AnalysisError, OSError.
    """
    judged = judge_runs(texts, folder, baseline)
    for judgement in judged:
        click.echo(line(judgement), err=True)
    _write(judged, folder.name, junit_path, summary_path)
    return exit_status(judged)


def _write(
    judged: Sequence[Judgement], name: str, junit_path: Path | None, summary_path: Path | None
) -> None:
    if junit_path is not None:
        draft = junit_path.with_name(f"{junit_path.name}.{os.getpid()}.tmp")
        draft.write_text(junit(judged, f"tbtest.{name}"), encoding="utf-8")
        draft.replace(junit_path)
    if summary_path is not None:
        with summary_path.open("a", encoding="utf-8") as file:
            file.write(markdown(judged, f"tbtest {name}") + "\n")
