"""Tables and figures of `campaign.py`'s results.

    python -m experiments.generalist.results docs/results/measured/h200-generalist-own-rates.json \\
        --out docs/results

Prints the tables as Markdown and writes its figures into OUT. Intervals are of 95 %,
from a paired hierarchical bootstrap: seeds are drawn, and units within them, as many as there are
(10,000 times). Everything is relative to the row that is compared with; better is positive.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from experiments.generalist.few_shot import NOISE_SHARES, few_at, few_closed, few_figure, few_table
from experiments.generalist.matrix import matrix
from experiments.generalist.measured import load
from experiments.generalist.scale import scale_figure, scale_table
from experiments.generalist.tables import (
    by_rate_table,
    closed_table,
    comparisons,
    correlations,
    exchanged_table,
    rates_table,
    rows_table,
)

RULES = ("persistence", "robust-mpc", "fair", "weighted-fair")
SHIPPED = ("mlp", "llm", "policy", "direct", "generalist", "generalist-small")
"""Checkpoints that ship, by the names of `references.py`."""
TABLED = ("A", "B", "B-long", "B-no-token", "B-rank-8", "C", "E", "F-long", "G-long", "I")
"""Rows that are compared with rules and with networks that ship."""
PAIRS = [
    ("B", "A"),
    ("C", "A"),
    ("E", "A"),
    ("B", "C"),
    ("B", "E"),
    ("C", "E"),
    ("B-rank-8", "A"),
    ("B-rank-8", "B"),
    ("B-no-token", "A"),
    ("B-no-token", "E"),
    ("B-no-token", "E-no-token"),
    ("E", "E-no-token"),
    ("B-no-token", "G"),
    ("B-no-token", "G-long"),
    ("B-no-token", "F-long"),
    ("B-no-token", "I"),
    ("B-long", "A"),
    ("B-long", "B"),
    ("B-long", "G-long"),
    ("B-long", "F-long"),
    ("B", "G"),
    ("B", "G-long"),
    ("B", "F-long"),
    ("C", "G"),
    ("C", "G-long"),
    ("E", "G"),
    ("G", "F"),
    ("A", "F"),
    ("B", "F"),
    ("G-long", "G"),
    ("G-long", "F"),
    ("G-long", "A"),
    ("G-long", "F-long"),
    ("F-long", "A"),
    ("F-long", "F"),
    ("E-all", "E"),
    ("D", "B"),
    ("I", "G"),
    ("I", "A"),
    ("I", "F"),
    ("I", "G-long"),
    ("B", "I"),
    ("H", "A"),
    ("B", "B-no-token"),
    ("G", "G-no-token"),
    *((row, other) for row in TABLED for other in (*RULES, *SHIPPED)),
    *((one, other) for one in SHIPPED[-2:] for other in ("A", *RULES, *SHIPPED[:-2])),
]


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--save", type=click.Path(path_type=Path), help="Write all runs into one file.")
def main(source: Path, out: Path, save: Path | None) -> None:
    """Print tables, write figures."""
    runs = load(source)
    if save is not None:
        lines = ",\n".join(json.dumps(record) for record in runs.values())
        save.write_text(f'{{"runs": [\n{lines}\n]}}\n')
    out.mkdir(parents=True, exist_ok=True)
    for title, text in (
        ("Learning rates", rates_table(runs)),
        ("Rows", rows_table(runs)),
        ("Closed loop", closed_table(runs)),
        ("Differences", comparisons(runs, PAIRS)),
        ("Samples and closed loop", correlations(runs)),
        ("Scheduling by learning rate", by_rate_table(runs)),
        ("Scale", scale_table(runs)),
        ("Few-shot, mean height", few_table(runs)),
        ("Few-shot, mean height at the controls' shares", few_table(runs, NOISE_SHARES)),
        ("Few-shot, closed loop", few_closed(runs, (0.003, 0.01, 0.03, 0.1, 1.0))),
        ("Families", matrix(runs)),
        ("Few-shot", few_at(runs, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0))),
        ("Tokens", exchanged_table(runs)),
    ):
        if len(text.splitlines()) > 2:
            click.echo(f"## {title}\n\n{text}")
    if any("probes" in one for one in runs.values()):
        scale_figure(runs, out / "generalist-blocks.svg")
    if any(one["kind"] == "few" for one in runs.values()):
        few_figure(runs, out / "generalist-few-shot.svg")


if __name__ == "__main__":
    main()
