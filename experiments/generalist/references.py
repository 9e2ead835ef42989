"""What rules and the networks that ship score on the units on which `judge.py` plays rows.

    python -m experiments.generalist.references data --abr ABR --profiles tpch.parquet \\
        --out results/runs

Writes a record for each reference beside those of `campaign.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from experiments.congestion.closed_loop import controller
from experiments.generalist.judge import (
    abr,
    cjs,
    congestion,
    on_clusters,
    on_links,
    on_recordings,
)
from policy.model.info import read_info, resolve
from policy.tasks.abr.evaluate import make_policy
from policy.tasks.cjs.environment import run_many
from policy.tasks.cjs.policies.registry import rule

RATES = ("bbr", "cubic", "gcc", "persistence")
LEVELS = ("policy", "robust-mpc", "bba")
SCHEDULERS = ("fair", "weighted-fair", "sjf", "fifo")
SHIPPED = ("llm", "mlp", "cjs/direct", "generalist", "generalist-small")
"""Checkpoints; the network of streaming is `policy`."""


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--abr", "shared", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--profiles", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--units", default=60, show_default=True)
@click.option("--sequences", default=50, show_default=True)
def main(data: Path, shared: Path, profiles: Path, out: Path, units: int, sequences: int) -> None:
    """Play what has no record in OUT yet."""
    out.mkdir(parents=True, exist_ok=True)
    plays: list[tuple[str, str, Callable[[], dict[str, float]]]] = []
    for name in SCHEDULERS:
        play = partial(run_many, rule=rule(name), threads=1)
        plays.append((name, "cjs", partial(on_clusters, play, profiles, sequences)))
        plays.append((name, "cjs-generated", partial(on_clusters, play, None, sequences)))
        plays.append((name, "cjs-live", partial(on_clusters, play, profiles, sequences, live=True)))
    for name in LEVELS:
        plays.append((name, "abr", partial(on_recordings, make_policy(name), shared, units)))
    for name in RATES:
        driver = partial(controller, name, None, "cpu")
        plays.append((name, "congestion", partial(on_links, driver, data, units)))
    judges: dict[str, Callable[[Path], dict[str, float]]] = {
        "congestion": lambda folder: congestion(folder, data, units),
        "abr": lambda folder: abr(folder, shared, units),
        "cjs": lambda folder: cjs(folder, profiles, sequences),
    }
    for name in SHIPPED:
        folder = resolve(name)
        for task in read_info(folder).tasks:
            plays.append((folder.name, task, partial(judges[task], folder)))
    for name, part, play_all in plays:
        file = out / f"{name}+{part}.json"
        if file.exists():
            continue
        found = play_all()
        record = {
            "name": f"{name}/{part}",
            "row": name,
            "seed": 0,
            "kind": "reference",
            "tasks": [part.split("-")[0]],
            "closed": {part: {"units": found}},
        }
        file.write_text(json.dumps(record))
        click.echo(f"{name}: {sum(found.values()) / len(found):.3f}")


if __name__ == "__main__":
    main()
