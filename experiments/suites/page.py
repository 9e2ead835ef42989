"""The page of all suites, docs/results/suites.md, from the folders of `tbtest suite`.

    python -m experiments.suites.page policy bbr-cubic --out docs/results/suites.md

Each folder holds a folder for each suite, as `tbtest suite NAME --out FOLDER/NAME` leaves them.
Every figure is worked out from the runs; notes.yaml has what the figures mean, in words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.run import load_run
from experiments.suites.commands import command_lines
from experiments.suites.course import course
from settings import first_mistake
from testbed.errors import UserError
from testbed.mappings import read_yaml
from testbed.suite.beside import Entry, beside
from testbed.suite.definition import Suite, load_suite
from testbed.suite.page import figure
from testbed.suite.verdict import CaseResult, Line, is_done, result_of
from testbed.units import format_duration, parse_duration_ns

NAMES = ("rfc8867", "rfc9743", "c4")


class Notes(BaseModel):
    """notes.yaml: the head of the page, and for each suite what its figures mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: str
    suites: dict[str, str]


@dataclass(frozen=True)
class Found:
    """A suite and what the folders hold of it."""

    suite: Suite
    results: tuple[CaseResult, ...]
    entries: tuple[Entry, ...]

    @property
    def columns(self) -> list[str]:
        """The controllers, policies first."""
        names = dict.fromkeys(name for entry in self.entries for name in entry.lines)
        return sorted(names, key=lambda name: not name.startswith("policy"))

    @property
    def covered(self) -> str:
        """How many of the standard's sections have a run under every controller."""
        elsewhere = {entry.section for entry in self.suite.head.elsewhere}
        sections = {case.about.section for case in self.suite.cases if case.about.section}
        if not sections:
            return ""
        ran = {
            entry.case.about.section
            for entry in self.entries
            if all(name in entry.lines for name in self.columns)
        }
        total = len(sections | elsewhere)
        return f"{len(ran & sections)} of the standard's {total} sections are run."

    @property
    def missing(self) -> list[str]:
        """Cases that no folder has for one of the controllers: name and controllers."""
        rows = []
        for case in self.suite.cases:
            ran = {name for e in self.entries if e.case.name == case.name for name in e.lines}
            lacking = [name for name in self.columns if name not in ran]
            if lacking:
                rows.append(f"| {case.name} | {case.about.title} | {', '.join(lacking)} |")
        return rows


def find(name: str, folders: Sequence[Path]) -> Found:
    """The finished cases of a suite in these folders, in the suite's order."""
    suite = load_suite(name)
    results = tuple(
        result_of(case, folder / name / case.name)
        for case in suite.cases
        for folder in folders
        if is_done(folder / name / case.name)
    )
    return Found(suite, results, tuple(beside(results)))


def overview(found: Sequence[Found], columns: Sequence[str]) -> list[str]:
    """One row for each suite and controller."""
    rows = [
        "| suite | controller | cases run | every expectation held | expectations that held |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        for name in columns:
            ran = [entry.lines[name] for entry in each.entries if name in entry.lines]
            lines = [line for case in ran for line in case]
            held = [line for line in lines if line.held is True]
            sure = sum(not line.mark.startswith("(") for line in lines if line.held is not None)
            whole = sum(all(line.held is True for line in case) for case in ran)
            rows.append(
                f"| {each.suite.head.standard} | {name} | {len(ran)} of {len(each.suite.cases)} | "
                f"{whole} | {len(held)} of {len(lines)}, {sure} beyond doubt |"
            )
    return rows


def table(found: Found) -> list[str]:
    """One row for each case: what is asked, and each controller's mark and median."""
    columns = found.columns
    rows = [
        f"| case | what it asks | expectations | {' | '.join(columns)} |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for entry in found.entries:
        texts = entry.case.data["expect"]
        cells = []
        for name in columns:
            lines = {line.text: line for line in entry.lines.get(name, ())}
            cells.append("<br>".join(_marked(lines.get(text)) for text in texts))
        asked = "<br>".join(f"`{text}`" for text in texts)
        about = entry.case.about
        rows.append(
            f"| {_label(found.suite, entry)}<br>{_length(entry)} | {about.title}: {about.asks} | "
            f"{asked} | {' | '.join(cells)} |"
        )
    return rows


def _length(entry: Entry) -> str:
    lengths = {
        f"{format_duration(parse_duration_ns(part.scenario['duration']))} × "
        f"{part.scenario['repeats']}"
        for part in entry.parts
    }
    return "<br>".join(sorted(lengths))


def _label(suite: Suite, entry: Entry) -> str:
    section = entry.case.about.section
    return (
        f"[{entry.case.name}]({suite.head.url}#section-{section})" if section else entry.case.name
    )


def _marked(line: Line | None) -> str:
    return f"{line.mark} {figure(line)}" if line is not None else "–"


def broken(found: Found) -> list[str]:
    """For each case and controller with a broken expectation: which, and how queue and loss were
    in the first quarter of the cells and after it.
    """
    rows = []
    for entry in found.entries:
        for name in found.columns:
            texts = [line.text for line in entry.lines.get(name, ()) if line.held is False]
            if not texts:
                continue
            part = next(part for part in entry.parts if name in part.lines)
            cells = [cell for cell in load_run(part.folder).cells if cell.cc == name]
            asked = "<br>".join(f"`{text}`" for text in texts)
            rows.append(f"| {entry.case.name} | {name} | {asked} | {course(cells)} |")
    head = "| case | | broken | queueing delay p95, first quarter / rest | lost |"
    return [head, "|---|---|---|---|---|", *rows] if rows else ["Nothing."]


def page(folders: Sequence[Path], notes: Notes) -> str:
    """The whole page."""
    found = [find(name, folders) for name in NAMES]
    columns = list(dict.fromkeys(name for each in found for name in each.columns))
    parts = [
        "# Suites: policy, bbr and cubic",
        notes.head.strip(),
        "\n".join(overview(found, columns)),
    ]
    for each in found:
        head = each.suite.head
        parts += [
            f"## {head.standard}: {head.title}",
            head.note,
            "\n".join(f"    {line}" for line in command_lines(each.suite, each.results)),
            each.covered,
            "\n".join(table(each)),
            "What broke, and when in the cells:",
            "\n".join(broken(each)),
            notes.suites.get(each.suite.name, "").strip(),
        ]
        if each.missing:
            parts += ["Not run:", "\n".join(["| case | | under |", "|---|---|---|", *each.missing])]
    parts += ["## What does not fit a testbed of namespaces", "\n".join(_elsewhere(found))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _elsewhere(found: Sequence[Found]) -> list[str]:
    rows = ["| standard | section | | reason |", "|---|---|---|---|"]
    for each in found:
        rows += [
            f"| {each.suite.head.standard} | {entry.section} | {entry.title} | {entry.reason} |"
            for entry in each.suite.head.elsewhere
        ]
    return rows


def _notes(path: Path) -> Notes:
    try:
        return Notes.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_mistake(error, Notes)}") from error


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--notes", type=Path, default=Path(__file__).with_name("notes.yaml"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    try:
        text = page(asked.folders, _notes(asked.notes))
    except UserError as error:
        parser.exit(2, f"{error}\n")
    asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
