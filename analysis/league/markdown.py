"""league.md."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.league.compare import Group
from analysis.league.targets import Result, WorseOnAll
from analysis.league.text import (
    NOTHING,
    CellText,
    TargetText,
    cell_text,
    group_facts,
    group_title,
    target_rows,
    title,
)


def render(
    notes: Sequence[str],
    found: Sequence[Group],
    duels: Sequence[Group],
    results: Sequence[Result],
    families: Sequence[WorseOnAll],
) -> str:
    """The whole report as text. notes: what was run, one sentence each."""
    parts = ["# League", *(f"- {_escaped(note)}" for note in notes), ""]
    if results:
        parts += ["## To reach", "", *_targets(results, families), ""]
    for group in (*duels, *found):
        parts += [
            f"## {_escaped(group_title(group))}",
            "",
            group_facts(group) + _against(group) + ".",
            "",
            *_group(group),
            "",
        ]
    return "\n".join(parts)


def _against(group: Group) -> str:
    if group.baseline is None:
        return "; no baseline"
    return f"; Δ: paired difference to {group.baseline}"


def _targets(results: Sequence[Result], families: Sequence[WorseOnAll]) -> list[str]:
    schemes = list(dict.fromkeys(result.scheme for result in results))
    lines = _head(["median over cells", "bound", *schemes])
    for row in target_rows(schemes, results, families):
        lines.append(_line([row.title, row.bound, *(_target(text) for text in row.texts)]))
    return lines


def _target(text: TargetText | None) -> str:
    if text is None:
        return NOTHING
    verdict = f"**{text.verdict}**" if text.met else text.verdict
    return "<br>".join((f"{text.value}: {verdict}", *text.details))


def _group(group: Group) -> list[str]:
    lines = _head(["", *group.schemes])
    for metric in group.metrics:
        texts = [_markdown(cell_text(group.of(metric.name, scheme))) for scheme in group.schemes]
        lines.append(_line([title(metric), *texts]))
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


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
