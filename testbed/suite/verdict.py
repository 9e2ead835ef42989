"""What the runs of a suite say: an outcome for each case and controller. Pure but for its files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.expect.evaluate import Judgement, Outcome, judge_runs
from analysis.expect.output import junit_of
from analysis.files import MANIFEST, read_manifest
from analysis.measure import measure
from analysis.run import Cell, load_run
from testbed.suite.definition import Case


@dataclass(frozen=True)
class Line:
    """An expectation of one controller. ``held``: in the median of these runs; None: no data."""

    judged: Judgement
    held: bool | None

    @property
    def text(self) -> str:
        """The expectation as written."""
        return self.judged.text

    @property
    def outcome(self) -> Outcome:
        """What the runs can tell."""
        return self.judged.outcome

    @property
    def mark(self) -> str:
        """How a table shows it: in brackets where the runs are too few, or too different, to
        tell.
        """
        if self.outcome is Outcome.PASS:
            return "✔"
        if self.outcome is Outcome.FAIL:
            return "✘"
        return "–" if self.held is None else "(✔)" if self.held else "(✘)"


@dataclass(frozen=True)
class CaseResult:
    """A case that was run: lines by controller, what to doubt, and the scenario as it ran."""

    case: Case
    folder: Path
    lines: dict[str, tuple[Line, ...]]
    doubts: tuple[str, ...]
    scenario: dict[str, Any]
    environment: dict[str, Any]
    snapshots: tuple[str, ...] = ()
    """Policies that saw snapshots of TCP_INFO and had no say in cwnd: there was no eBPF."""

    @property
    def how(self) -> str:
        """In which time it ran."""
        return "virtual" if self.environment.get("virtual_time") else "live"

    @property
    def length(self) -> str:
        """Of a cell, and how many of each controller."""
        return f"{self.scenario['duration']} × {self.scenario['repeats']}"

    def mark(self, controller: str) -> str:
        """The worst mark of the controller's lines."""
        return worst(self.lines.get(controller, ()))


def worst(lines: Sequence[Line]) -> str:
    """The worst mark of the lines."""
    return max((line.mark for line in lines), key=_GRAVITY.index, default="–")


_GRAVITY = ("✔", "(✔)", "–", "(✘)", "✘")


def is_done(folder: Path) -> bool:
    """Whether the folder holds a run that has finished."""
    try:
        return (folder / MANIFEST).exists() and read_manifest(folder).status == "done"
    except AnalysisError:
        return False


def result_of(case: Case, folder: Path) -> CaseResult:
    """Judge the run of a case. Raises AnalysisError."""
    run = load_run(folder)
    controllers = list(dict.fromkeys(cell.cc for cell in sorted(run.cells, key=_index)))
    judged = judge_runs(list(case.data["expect"]), folder)
    lines = {
        controller: tuple(_line(found) for found in judged if found.controller == controller)
        for controller in controllers
    }
    return CaseResult(
        case=case,
        folder=folder,
        lines=lines,
        doubts=tuple(measure(run).warnings),
        scenario=run.manifest.scenario,
        environment=run.manifest.environment,
        snapshots=tuple(
            dict.fromkeys(cell.cc for cell in run.cells if _datapath(cell) in _SNAPSHOTS)
        ),
    )


_SNAPSHOTS = ("portable", "tcpinfo")


def _datapath(cell: Cell) -> str:
    return str((cell.record.agent or {}).get("tier", ""))


def _index(cell: Any) -> tuple[bool, str]:
    """Policies first, the others by name."""
    return (not cell.is_policy, cell.cc)


def _line(judged: Judgement) -> Line:
    held = None
    if not math.isnan(judged.left - judged.right):
        below = judged.left <= judged.right
        held = below if "<" in judged.text else judged.left >= judged.right
    return Line(judged, held)


def exit_status(results: Sequence[CaseResult]) -> int:
    """0: every expectation holds; 1: one fails; 3: none fails, and of one the data cannot tell."""
    outcomes = {
        line.outcome for result in results for lines in result.lines.values() for line in lines
    }
    if Outcome.FAIL in outcomes:
        return 1
    return 3 if Outcome.UNDECIDED in outcomes else 0


def write_junit(
    suite: str, results: Sequence[CaseResult], failed: Mapping[str, str], path: Path
) -> None:
    """Write the lines of all results as JUnit XML. ``failed``: case -> why it could not be run.
    Raises OSError.
    """
    judged: dict[str, list[Judgement]] = {}
    for result in results:
        found = [line.judged for lines in result.lines.values() for line in lines]
        judged.setdefault(f"{suite}.{result.case.name}", []).extend(found)
    broken = {f"{suite}.{case}": reason for case, reason in failed.items()}
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(junit_of(judged, broken), encoding="utf-8")
    draft.replace(path)
