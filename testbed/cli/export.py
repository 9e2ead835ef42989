"""``tbtest export``: a run in the formats of other tools. No root needed."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["perfetto", "qlog", "csv", "pcapng"]),
    help="perfetto: ui.perfetto.dev; qlog: qvis; csv: every log; pcapng: Wireshark.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write; default RUN/export.",
)
@click.option("--cell", metavar="NAME", help="Only this cell, by its folder.")
def export(run: Path, form: str, out: Path | None, cell: str | None) -> None:
    """Write the cells of the run folder RUN in another tool's format.

    \b
        tbtest export runs/20260131T120000-4f0c2a --format perfetto
    """
    from analysis.export import export as write

    for path in write(run, form, out or run / "export", cell):
        click.echo(str(path))
