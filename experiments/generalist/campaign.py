"""All rows, the scale ablation and the few-shot curves on one GPU: many short trainings side by
side, the most important first, until the time is over.

    python -m experiments.generalist.campaign data --out results --checkpoints checkpoints \\
        --abr ABR --profiles tpch.parquet --minutes 20 --devices 0,1 --judges 6

A GPU takes turns between processes, so that few processes train, each with several trainings on
streams of their own, which advance step by step in turn: on each GPU one process has the language
models, and one the small transformers, whose steps are short. With an `--only` for each GPU the
largest models do not hold the others up. Others follow and judge the checkpoints.

OUT/runs holds a file for each run: its settings and course. OUT/judged holds what was found out of
its checkpoint: errors on test samples by unit, what is in the adapters, the closed loops.
OUT/checkpoints holds the best seed of some rows, as far as there is room. What is there is not run
again; a few-shot curve that the end of the time cut off is, and keeps its points until then.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from experiments.generalist.plan import CPU, TINY, Job, Plan, chosen
from experiments.generalist.queue import Queue, file_name, record_file
from experiments.generalist.search import with_searches

log = logging.getLogger(__name__)
KEPT = ("B", "B-long", "B-rank-8", "C", "G-long")


def train(options: dict[str, Any], end: float, small: bool) -> None:
    """One process that trains: run after run, some of them side by side. `small`: rather the small
    transformers.
    """
    from experiments.generalist.records import write
    from experiments.generalist.runs import Run, Runner, side_by_side

    out: Path = options["out"]
    runner = Runner(options)
    began: dict[str, float] = {}

    def left() -> list[tuple[int, Job]]:
        if time.time() > end:
            return []
        return [
            (order, job)
            for order, job in enumerate(options["jobs"])
            if not (out / "taken" / file_name(job.name)).exists()
            and not record_file(out, job.name).exists()
            and not (small and job.large)  # two processes of them exceed a GPU's memory
        ]

    def take() -> tuple[Job, Run] | None:
        for order, job in sorted(left(), key=lambda one: one[1].small != small):
            if runner.ready(job):
                try:
                    (out / "taken" / file_name(job.name)).mkdir()
                except FileExistsError:
                    continue
                began[job.name] = time.time()
                return job, runner.run(job, order)
        return None

    def ended(job: Job, result: dict[str, Any] | Exception) -> None:
        if isinstance(result, Exception):
            log.error("%s", job.name, exc_info=result)
            result = {"failed": "".join(traceback.format_exception(result)[-4:])}
        file = record_file(out, job.name)
        wall_s = round(time.time() - began[job.name], 1)
        write(file, job, result | {"wall_s": wall_s})
        file.with_suffix(".part").unlink(missing_ok=True)

    side_by_side(take, lambda: bool(left()), ended, options["slots"], runner.device)


def judge(options: dict[str, Any], end: float) -> None:
    """One process that judges."""
    from experiments.generalist.judging import judge_all

    judge_all(options, end)


def keep_best(out: Path, checkpoints: Path) -> None:
    """Copy the best seed of each kept row to OUT, by the loss on validation samples."""
    for row in KEPT:
        best: tuple[float, Path] | None = None
        for file in sorted((out / "runs").glob(f"{row}+*.json")):
            record = json.loads(file.read_text())
            folder = checkpoints / row / str(record["seed"]) / "checkpoint"
            if "best_loss" in record and folder.is_dir():
                best = min(best or (float("inf"), folder), (record["best_loss"], folder))
        if best is None:
            continue
        target = out / "checkpoints" / row
        stamp = target / "from"
        if not stamp.exists() or stamp.read_text() != str(best[1]):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(best[1], target)
            stamp.write_text(str(best[1]))


def searched(_context: click.Context, _option: click.Parameter, text: str) -> list[float]:
    """Learning rates that are separated by commas. Raises BadParameter."""
    return [rate_of(one, f"--search {text}") for one in text.split(",") if one]


def rate_of(text: str, option: str) -> float:
    """A learning rate. Raises BadParameter, which names the option."""
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise click.BadParameter(f"{option}: give a number between 0 and 1, as 0.001")
    return rate


def rates_of(plan: Plan, given: tuple[str, ...]) -> dict[str, float]:
    """The plan's learning rates by group, and what was given instead. Raises BadParameter."""
    found = dict(plan.rates)
    for one in given:
        group, _, text = one.rpartition("=")
        if group and group not in found:
            raise click.BadParameter(f"--rate {one}: groups are {', '.join(found)}")
        rate = rate_of(text, f"--rate {one}")
        found |= {group: rate} if group else dict.fromkeys(found, rate)
    return found


def plans_of(
    devices: list[str], only: tuple[str, ...], search: list[float]
) -> dict[str, list[Job]]:
    """The runs of each GPU in their order. Raises BadParameter."""
    if len(only) not in (1, len(devices)):
        raise click.BadParameter(f"--only: give it once, or once for each of {len(devices)} GPUs")
    return {
        device: with_searches(chosen([one for one in names.split(",") if one]), search)
        for device, names in zip(devices, only * (len(devices) // len(only)), strict=True)
    }


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--checkpoints", type=click.Path(path_type=Path), required=True)
@click.option("--abr", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--profiles", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", type=float, default=20.0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), help="Of each row, instead of the plan's.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    metavar="[GROUP=]RATE",
    help="Of learning, instead of the plan's, of a group of rows or of all; repeatable.",
)
@click.option(
    "--search",
    default="",
    metavar="RATE,RATE,...",
    callback=searched,
    help="Give each row the rate of these at which its loss on validation samples is least.",
)
@click.option("--devices", default="0", show_default=True, help="GPUs, separated by commas.")
@click.option("--slots", type=int, default=4, show_default=True, help="Trainings of a process.")
@click.option("--judges", type=int, default=6, show_default=True, help="Processes of each GPU.")
@click.option("--cpu", is_flag=True, help="A plan that a processor can follow, for row G.")
@click.option("--tiny", is_flag=True, help="A few steps of a few samples: a test of the plumbing.")
@click.option(
    "--only",
    multiple=True,
    default=[""],
    help="Names of runs begin so; separated by commas, the first first. Once for all GPUs, or once "
    "for each.",
)
def main(
    data: Path,
    out: Path,
    checkpoints: Path,
    abr: Path,
    profiles: Path,
    minutes: float,
    steps: int | None,
    rates: tuple[str, ...],
    search: list[float],
    devices: str,
    slots: int,
    judges: int,
    cpu: bool,
    tiny: bool,
    only: tuple[str, ...],
) -> None:
    """Run what is not there yet."""
    plans = plans_of(devices.split(","), only, search)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its processes end with it
    Queue(out)
    for name in ("runs", "taken", "checkpoints"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for stale in (out / "taken").iterdir():
        if not (out / "runs" / f"{stale.name}.json").exists():
            stale.rmdir()
    (out / "trained").unlink(missing_ok=True)
    end = time.time() + 60 * minutes
    plan = TINY if tiny else CPU if cpu else Plan()
    options: dict[str, Any] = {
        "data": data,
        "out": out,
        "abr": abr,
        "profiles": profiles,
        "checkpoints": checkpoints,
        "plan": replace(plan, steps=steps or plan.steps, rates=rates_of(plan, rates)),
        "slots": slots,
    }
    os.environ["NUMBA_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    training, judging = [], []
    for device, jobs in plans.items():
        os.environ["CUDA_VISIBLE_DEVICES"] = device  # of the processes that start now
        # What is trained last must still be judged.
        given = options | {"jobs": jobs}, end - 8 * minutes
        training += [context.Process(target=train, args=(*given, x)) for x in (False, True)]
        judging += [context.Process(target=judge, args=(options, end)) for _ in range(judges)]
        for process in [*training, *judging]:
            if process.pid is None:
                process.daemon = True
                process.start()
    wanted = {file_name(job.name) for jobs in plans.values() for job in jobs}
    told = 0.0
    while any(one.is_alive() for one in [*training, *judging]) and time.time() < end + 10:
        time.sleep(1.0)
        if not any(one.is_alive() for one in training):
            (out / "trained").touch()
        if time.time() - told > 15:
            told = time.time()
            keep_best(out, checkpoints)
            done = wanted & {one.stem for one in (out / "runs").glob("*.json")}
            running = sorted(x.name for x in (out / "taken").iterdir() if x.name not in done)
            judged, waiting = (len(list((out / x).iterdir())) for x in ("judged", "waiting"))
            click.echo(
                f"{time.strftime('%H:%M:%S')} {len(done)}/{len(wanted)} runs, {judged} judged, "
                f"{waiting} waiting; {' '.join(running)}"
            )
    for process in [*training, *judging]:
        if process.is_alive():
            process.terminate()
        process.join(5)
    keep_best(out, checkpoints)
    click.echo(f"{len(list((out / 'runs').glob('*.json')))} runs")


if __name__ == "__main__":
    main()
