"""Completes a league's league.md with this project's own targets and duels.

    tbtest league ... --out leagues/mine
    python -m experiments.congestion.league leagues/mine

Reads league.parquet, and writes the two sections behind the notes of league.md; again where they
are there already.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError
from analysis.league import write_text
from analysis.league.compare import compare
from analysis.league.markdown import head, line, section
from analysis.league.table import read_table, to_frame
from analysis.league.text import NOTHING
from experiments.congestion.targets import to_reach
from experiments.congestion.targets_text import TargetText, target_rows

TARGETS = "## To reach"
DUELS = (("policy:llm", "policy:gru"),)
"""Schemes whose difference is reported on its own: does the language model add to a small network?
"""


def sections(frame: pd.DataFrame) -> list[str]:
    """Lines of the targets and of the duels. frame: the league's table."""
    lines = []
    results, families = to_reach(frame)
    if results:
        schemes = list(dict.fromkeys(result.scheme for result in results))
        lines += [TARGETS, "", *head(["median over cells", "bound", *schemes])]
        for row in target_rows(schemes, results, families):
            lines.append(line([row.title, row.bound, *(_target(text) for text in row.texts)]))
        lines.append("")
    for first, second in DUELS:
        both = frame[frame["scheme"].isin([first, second])]
        if both["scheme"].nunique() == 2 and frame["scheme"].nunique() > 2:
            for traffic, cells in both.groupby("traffic"):
                duel = compare(cells, second, f"{first} against {second}", str(traffic))
                lines += section(duel)
    return lines


def completed(text: str, lines: Sequence[str]) -> str:
    """league.md with these sections before its first group; older ones of the same kind go."""
    notes, *parts = text.split("\n## ")
    ours = (
        TARGETS.removeprefix("## "),
        *(f"{first} against {second}: " for first, second in DUELS),
    )
    kept = [part for part in parts if not part.startswith(ours)]
    own = "\n".join(lines).removeprefix("## ").rstrip("\n")
    return "\n## ".join([notes, *([own + "\n"] if lines else []), *kept])


def _target(text: TargetText | None) -> str:
    if text is None:
        return NOTHING
    verdict = f"**{text.verdict}**" if text.met else text.verdict
    return "<br>".join((f"{text.value}: {verdict}", *text.details))


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a league's folder")
    folder = parser.parse_args(arguments).folder
    try:
        frame = to_frame(read_table(folder / "league.parquet"))
        text = (folder / "league.md").read_text(encoding="utf-8")
        write_text(folder / "league.md", completed(text, sections(frame)))
    except (AnalysisError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
