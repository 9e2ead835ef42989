"""Commands of this task: ``tbtest collect --task cjs``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import get_args

import click
import numpy as np

from policy.tasks.base import Split


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the dataset.",
)
@click.option(
    "--profiles",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Jobs: profiles as Parquet or graphs as JSON lines; generated if left out.",
)
@click.option("--sequences", default=64, show_default=True, type=click.IntRange(3, 10_000))
@click.option(
    "--jobs", default=60, show_default=True, type=click.IntRange(1, 10_000), help="Of a sequence."
)
@click.option("--futures", default=4, show_default=True, type=click.IntRange(1, 1_000))
@click.option(
    "--horizon", "horizon_s", default=60, show_default=True, type=click.IntRange(1, 10_000),
    metavar="S", help="Length of a roll-out.",
)  # fmt: skip
@click.option(
    "--generated", is_flag=True, help="With --profiles: every second sequence is of generated jobs."
)
@click.option(
    "--live", is_flag=True, help="Every second sequence on a small cluster, as live ones are."
)
@click.option(
    "--network", is_flag=True, help="Small clusters of generated jobs whose inputs cross links."
)
@click.option("--varied", is_flag=True, help="Sequences of other executors and loads too, in turn.")
@click.option(
    "--actor",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="CHECKPOINT",
    help="A model that decides in the teacher's place; the teacher labels.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="Begin no sequence later; two thirds of the time for training.",
)
@click.option("--processes", default=os.cpu_count() or 1, type=click.IntRange(1, 1_000))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31))
def collect(
    out: Path,
    profiles: Path | None,
    sequences: int,
    jobs: int,
    futures: int,
    horizon_s: int,
    generated: bool,
    live: bool,
    network: bool,
    varied: bool,
    actor: Path | None,
    seconds: float | None,
    processes: int,
    seed: int,
) -> None:
    """Decisions of clusters labelled by roll-outs, for training.

    A sixth of the sequences each validates and tests, on queries that training does not have.

    \b
        tbtest collect --task cjs --out labels
        tbtest train labels --task cjs --out trained
    """
    from policy.tasks.cjs import dataset, labels
    from policy.tasks.cjs.teacher import Teacher
    from policy.tasks.cjs.workload import as_live, networked, variations, workload

    teacher = Teacher(horizon_ms=1_000 * horizon_s, futures=futures)
    sides: tuple[Split, ...] = get_args(Split)
    for side in sides:
        count = max(1, sequences // 6) if side != "train" else sequences - 2 * (sequences // 6)
        share = 2 / 3 if side == "train" else 1 / 6
        how = labels.Collection(
            count, jobs, processes=processes, seed=seed, actor=actor,
            seconds=share * seconds if seconds else math.inf,
        )  # fmt: skip
        sources = [profiles, None] if profiles and generated else [profiles]
        if network:
            sources = [None]
        loads = [workload(source, side, seed) for source in sources]
        loads += [as_live(load) for load in loads] if live and not network else []
        loads = [one for load in loads for one in networked(as_live(load))] if network else loads
        loads = [one for load in loads for one in variations(load)] if varied else loads
        samples = labels.collect(loads, teacher, how)
        dataset.save(out, side, samples)
        sequences_done = len(np.unique(samples["sequence"]))
        decisions = len(samples["action"])
        click.echo(f"{out}/{side}.npz: {decisions} decisions of {sequences_done} sequences")


if __name__ == "__main__":
    collect()
