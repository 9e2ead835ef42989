"""Results of several folders side by side: other controllers, or the same ones in another time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from testbed.suite.definition import Case
from testbed.suite.verdict import CaseResult, Line, worst


@dataclass(frozen=True)
class Entry:
    """A case on the page: lines by column, and the runs that they are from."""

    case: Case
    parts: tuple[CaseResult, ...]
    lines: dict[str, tuple[Line, ...]]

    @property
    def length(self) -> str:
        """Of a cell; of each kind of run where they differ."""
        lengths = {part.length: part.how for part in reversed(self.parts)}
        if len(lengths) == 1:
            return next(iter(lengths))
        return ", ".join(f"{how} {length}" for length, how in reversed(lengths.items()))

    def mark(self, column: str) -> str:
        """The worst mark of the column's lines."""
        return worst(self.lines.get(column, ()))

    def kept(self, column: str) -> str:
        """How many of the column's expectations held in these runs: 3 of 4; empty if not run."""
        lines = self.lines.get(column, ())
        held = sum(line.held is True for line in lines)
        return f"{held} of {len(lines)}" if lines else ""


def beside(results: Sequence[CaseResult]) -> list[Entry]:
    """One entry for each case, in the order of the results. A column is a controller; where some
    runs were live and some in virtual time, its name says which. Of two runs of a case with the
    same column the first counts.
    """
    both = len({result.how for result in results}) > 1
    entries = []
    for name in dict.fromkeys(result.case.name for result in results):
        parts = tuple(result for result in results if result.case.name == name)
        lines: dict[str, tuple[Line, ...]] = {}
        for part in parts:
            for controller, found in part.lines.items():
                lines.setdefault(f"{controller}, {part.how}" if both else controller, found)
        entries.append(Entry(parts[0].case, parts, lines))
    return entries
