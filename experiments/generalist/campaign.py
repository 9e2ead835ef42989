"""All rows, the scale ablation and the few-shot curves on one GPU: many short trainings side by
side, the most important first, until the time is over.

    python -m experiments.generalist.campaign data --out results --abr ABR \\
        --profiles tpch.parquet --minutes 20 --processes 8

Each process takes the next run that nobody has taken; a GPU takes turns between processes, so that
each slows down the others. OUT/runs holds a file for each run: its settings, course, errors on test
samples by unit, what was found in the adapters, and the closed loop. OUT/checkpoints holds the best
seed of rows G-long, G and B, as far as there is room. What is there is not run again.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import click

from experiments.generalist.plan import CPU, TINY, Plan, jobs

log = logging.getLogger(__name__)
KEPT = ("G-long", "G", "B")
_KEPT_BYTES = 12_000_000


def work(number: int, options: dict[str, Any]) -> None:
    """One process: run after run until nothing is left or the time is over."""
    from experiments.generalist.runs import Runner

    os.environ["NUMBA_NUM_THREADS"] = "1"
    out, end = options["out"], options["end"]
    runner = Runner(options)
    while time.time() < end:
        waiting = False
        for job in jobs():
            if options["only"] and not any(job.name.startswith(one) for one in options["only"]):
                continue
            if not runner.ready(job):
                waiting = True
                continue
            try:
                (out / "taken" / job.name.replace("/", "+")).mkdir()
            except FileExistsError:
                continue
            began = time.time()
            try:
                record = runner.run(job)
            except Exception:  # one failed run must not cost the others
                log.exception("%s", job.name)
                record = {"failed": traceback.format_exc(limit=-4)}
            record |= {
                "name": job.name,
                "row": job.row,
                "seed": job.seed,
                "kind": job.kind,
                "wall_s": round(time.time() - began, 1),
            }
            file = out / "runs" / f"{job.name.replace('/', '+')}.json"
            part = file.with_suffix(f".part{number}")
            part.write_text(json.dumps(record))
            part.rename(file)
            waiting = True
            break
        else:
            if not waiting:
                return
            time.sleep(0.5)


def unpack(known: Path, out: Path) -> None:
    """Put runs of an earlier campaign where `work` finds them. Row A runs again, as H needs its
    checkpoints.
    """
    for record in json.loads(known.read_text())["runs"]:
        name = record["name"].replace("/", "+")
        file = out / "runs" / f"{name}.json"
        if record["kind"] != "reference" and record["row"] != "A" and not file.exists():
            file.write_text(json.dumps(record))
            (out / "taken" / name).mkdir(exist_ok=True)


def keep_best(out: Path, checkpoints: Path) -> None:
    """Copy the best seed of each kept row to OUT, as far as there is room."""
    room = _KEPT_BYTES
    for row in KEPT:
        best: tuple[float, Path] | None = None
        for file in sorted((out / "runs").glob(f"{row}+*.json")):
            record = json.loads(file.read_text())
            folder = checkpoints / row / str(record["seed"]) / "checkpoint"
            if "best_loss" in record and folder.is_dir():
                best = min(best or (float("inf"), folder), (record["best_loss"], folder))
        if best is None:
            continue
        size = sum(one.stat().st_size for one in best[1].iterdir())
        target = out / "checkpoints" / row
        if size > room:
            shutil.rmtree(target, ignore_errors=True)
            continue
        room -= size
        stamp = target / "from"
        if not stamp.exists() or stamp.read_text() != str(best[1]):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(best[1], target)
            stamp.write_text(str(best[1]))


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--checkpoints", type=click.Path(path_type=Path), required=True)
@click.option("--abr", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--profiles", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", type=float, default=20.0, show_default=True)
@click.option("--processes", type=int, default=8, show_default=True)
@click.option("--cpu", is_flag=True, help="A plan that a processor can follow, for row G.")
@click.option("--tiny", is_flag=True, help="A few steps of a few samples: a test of the plumbing.")
@click.option(
    "--known",
    type=click.Path(exists=True, path_type=Path),
    help="A file of `results.py --save`: its runs are not run again.",
)
@click.option("--only", default="", help="Names of runs begin so; separated by commas.")
def main(
    data: Path,
    out: Path,
    checkpoints: Path,
    abr: Path,
    profiles: Path,
    minutes: float,
    processes: int,
    cpu: bool,
    tiny: bool,
    known: Path | None,
    only: str,
) -> None:
    """Run what is not there yet."""
    for name in ("runs", "taken", "checkpoints"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for stale in (out / "taken").iterdir():
        if not (out / "runs" / f"{stale.name}.json").exists():
            stale.rmdir()
    if known is not None:
        unpack(known, out)
    now = time.time()
    end = now + 60 * minutes
    options: dict[str, Any] = {
        "data": data,
        "out": out,
        "abr": abr,
        "profiles": profiles,
        "checkpoints": checkpoints,
        "plan": TINY if tiny else CPU if cpu else Plan(),
        "end": end,
        # Whatever happened to the search for learning rates, the rows begin then.
        "rates_by": now + (0.0 if tiny else 200.0),
        "only": [one for one in only.split(",") if one],
    }
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=work, args=(number, options), daemon=True)
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    told = 0.0
    while any(worker.is_alive() for worker in workers) and time.time() < end + 20:
        time.sleep(1.0)
        if time.time() - told > 15:
            told = time.time()
            keep_best(out, checkpoints)
            done = {one.stem for one in (out / "runs").glob("*.json")}
            running = sorted(x.name for x in (out / "taken").iterdir() if x.name not in done)
            click.echo(f"{time.strftime('%H:%M:%S')} {len(done)}/{len(jobs())} {running}")
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
        worker.join(5)
    keep_best(out, checkpoints)
    click.echo(f"{len(list((out / 'runs').glob('*.json')))} runs")


if __name__ == "__main__":
    main()
