"""league.md."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.league.compare import Group
from analysis.league.text import (
    NOTHING,
    CellText,
    cell_text,
    group_facts,
    group_title,
    title,
)


def render(notes: Sequence[str], found: Sequence[Group]) -> str:
    """The whole report as text. notes: what was run, one sentence each."""
    parts = ["# League", *(f"- {_escaped(note)}" for note in notes), ""]
    return "\n".join([*parts, *(line for group in found for line in section(group))])


def section(group: Group) -> list[str]:
    """The lines of one group, heading first."""
    return [
        f"## {_escaped(group_title(group))}",
        "",
        f"Medians over cells, {group_facts(group)}{_against(group)}.",
        "",
        *_group(group),
        "",
    ]


def _against(group: Group) -> str:
    if group.baseline is None:
        return "; no baseline"
    return f"; Δ: paired difference to {group.baseline}"


def _group(group: Group) -> list[str]:
    lines = head(["median", *group.schemes])
    for metric in group.metrics:
        texts = [_markdown(cell_text(group.of(metric.name, scheme))) for scheme in group.schemes]
        lines.append(line([title(metric), *texts]))
    return lines


def _markdown(text: CellText | None) -> str:
    if text is None:
        return NOTHING
    median = f"**{text.median}**" if text.winner else text.median
    return "<br>".join(
        part
        for part in (median, f"Δ {text.difference}" if text.difference else "", text.wins)
        if part
    )


def head(titles: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [line(titles), "|" + "---|" * len(titles)]


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
