"""Whether a host has all that a campaign needs, before any time is spent on it.

    python -m experiments.generalist.check data --abr ABR --profiles tpch.parquet

Imports everything, reads the language model, trains rows B, G and C for two steps, on the device
that there is, and judges a unit of each task. Prints `ready`, or in one line what is missing, and
exits with 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click

MODULES = ("campaign", "judging", "runs", "abr_data", "references")
TRIED = ("B", "G", "C")
SHIPPED = Path(__file__).parents[2] / "policy" / "tasks" / "checkpoints" / "generalist"
"""Whose own states `abr_data.py` labels, too."""


def stages(options: dict[str, Any]) -> Iterator[str]:
    """Say what comes, and do it. Raises what the campaign would."""
    yield "imports"
    for name in MODULES:
        import_module(f"experiments.generalist.{name}")
    import torch

    from experiments.generalist.abr_data import Student
    from experiments.generalist.judging import Judging
    from experiments.generalist.plan import TINY, Plan, jobs
    from experiments.generalist.queue import Queue
    from experiments.generalist.runs import Runner
    from policy.model.weights import smollm2_folder

    cuda = torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if cuda else "no GPU"
    yield f"language model ({gpu}, {os.cpu_count()} cores)"
    smollm2_folder()
    yield "the generalist that ships"
    Student(SHIPPED, "cuda" if cuda else "cpu")
    yield "samples"
    plan = replace(TINY, steps=2)
    if cuda:  # then models and batches are those of a campaign, and their steps must be recorded
        plan = replace(plan, batch=Plan.batch, small=False)
    options = options | {"plan": plan}
    runner = Runner(options)
    for order, job in enumerate(job for job in jobs() if job.name in {f"{x}/0" for x in TRIED}):
        yield f"two steps of row {job.row}"
        run = runner.run(job, order)
        while True:
            try:
                next(run)
            except StopIteration as end:
                if cuda and end.value["captured"] is not True:
                    raise RuntimeError(f"no CUDA graph of it: {end.value['captured']}") from None
                break
    queue, judging = Queue(options["out"]), Judging(options)
    while (item := queue.take()) is not None:
        yield f"judging row {item.row}, {item.part}"
        judging.judge(item)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--abr", type=click.Path(path_type=Path), required=True)
@click.option("--profiles", type=click.Path(path_type=Path), required=True)
def main(data: Path, abr: Path, profiles: Path) -> None:
    """Try everything once."""
    began, doing = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="generalist-check-") as folder:
        out = Path(folder)
        options = {"data": data, "abr": abr, "profiles": profiles}
        options |= {"out": out, "checkpoints": out / "checkpoints"}
        try:
            for doing in stages(options):
                click.echo(f"{time.monotonic() - began:4.0f} s  {doing}")
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what is missing)
            at = traceback.extract_tb(error.__traceback__)[-1]
            what = " ".join(f"{type(error).__name__}: {error}".split())
            click.echo(f"not ready: {doing}: {what} ({at.filename}:{at.lineno})")
            sys.exit(1)
    click.echo(f"ready, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
