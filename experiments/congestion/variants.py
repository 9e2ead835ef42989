"""Variants of a training run: each seed of each a process of its own, several at a time, those done
not done again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from experiments.congestion.output import number
from policy.training.config import TrainConfig, load_config

console = Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True)
class Variant:
    """A model kind and the settings, `key=value`, that make the variant."""

    name: str
    kind: str = "nioka"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Budget:
    """What all variants share: settings file, `key=value` settings, and seeds."""

    config: Path | None
    assignments: tuple[str, ...]
    seeds: tuple[int, ...]

    def settings(self, variant: Variant, seed: int) -> tuple[str, ...]:
        """All assignments of one run; the variant's win."""
        return (*self.assignments, *variant.settings, f"seeds=[{seed}]")

    def train_config(self, variant: Variant, seed: int) -> TrainConfig:
        """Raises ModelError naming a wrong setting."""
        return load_config(self.config, self.settings(variant, seed), variant.kind)


Results = dict[str, dict[int, dict[str, Any]]]
"""variant -> seed -> {"progress": …, "test": family -> measure -> mean}, as a checkpoint records
them.
"""


def folder_of(out: Path, variant: Variant, seed: int) -> Path:
    """Where a run's checkpoint and state lie."""
    return out / "runs" / variant.name.replace(" ", "-") / f"seed-{seed}"


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """What every experiment takes that trains variants: dataset, folder, seeds, jobs, settings."""
    path = partial(click.Path, path_type=Path)
    options = (
        click.argument("dataset", type=path(exists=True, file_okay=False)),
        click.option("--out", type=path(file_okay=False), required=True),
        click.option("--seeds", default="0,1,2", show_default=True),
        click.option("--jobs", default=1, show_default=True, help="Trainings at a time."),
        click.option("--config", type=path(exists=True, dir_okay=False), help="As tbtest train."),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="As tbtest train; repeatable.",
        ),
        click.option("--redraw", is_flag=True, help="Only table and figure, from results.json."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def train_all(
    dataset: Path,
    variants: Sequence[Variant],
    budget: Budget,
    out: Path,
    jobs: int,
    train: Callable[..., None],
) -> Results:
    """Train what is not done yet, `jobs` at a time, by `train(dataset, variant, budget, seed,
    folder)`; read all.

    Raises:
        ModelError: a setting is wrong.
        ClickException: a run failed, or a finished one in `out` had other settings.
    """
    runs = [(variant, seed) for variant in variants for seed in budget.seeds]
    todo = [run for run in runs if not _is_done(budget, *run, folder_of(out, *run))]
    console.print(f"{len(runs) - len(todo)} of {len(runs)} trainings are done already")
    failed: list[str] = []

    def one(run: tuple[Variant, int]) -> None:
        started = time.monotonic()
        try:
            train(dataset, run[0], budget, run[1], folder_of(out, *run))
        except click.ClickException as error:
            failed.append(error.message)
            console.print(error.message, markup=False)
        else:
            took = number(time.monotonic() - started, 0)
            console.print(f"{run[0].name}, seed {run[1]}: trained in {took} s")

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        list(pool.map(one, todo))
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(todo)} trainings failed; the same command tries them again"
        )
    results: Results = {variant.name: {} for variant in variants}
    for variant, seed in runs:
        record = _record(folder_of(out, variant, seed))
        results[variant.name][seed] = record["training"]["seeds"][str(seed)]
    return results


class Trainer:
    """Runs `tbtest train` in a process of its own; the cores are shared among `jobs`. A context:
    leaving it ends what still runs."""

    def __init__(self, jobs: int) -> None:
        self._threads = max(len(os.sched_getaffinity(0)) // max(jobs, 1), 1)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for process in self._running:
                process.terminate()

    def __call__(
        self, dataset: Path, variant: Variant, budget: Budget, seed: int, folder: Path
    ) -> None:
        """Raises ClickException with the end of the log if the training failed."""
        command = [sys.executable, "-m", "testbed", "train", str(dataset), "--model", variant.kind]
        command += ["--out", str(folder)]
        if budget.config is not None:
            command += ["--config", str(budget.config)]
        for assignment in budget.settings(variant, seed):
            command += ["--set", assignment]
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "train.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": str(self._threads)},
            )
            with self._lock:
                self._running.add(process)
            status = process.wait()
            with self._lock:
                self._running.discard(process)
        if status:
            end = log.read_text(errors="replace")[-1500:]
            raise click.ClickException(
                f"{variant.name}, seed {seed}: status {status}; {log} ends: {end}"
            )


def _is_done(budget: Budget, variant: Variant, seed: int, folder: Path) -> bool:
    wanted = budget.train_config(variant, seed)
    if not (folder / "checkpoint" / "config.json").exists():
        return False
    record = _record(folder)
    settings = wanted.model_dump(mode="json", exclude={"model"})
    if (
        record["model"] != wanted.model.model_dump(mode="json")
        or record["training"]["settings"] != settings
    ):
        raise click.ClickException(
            f"{folder} was trained with other settings; choose another --out"
        )
    return True


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "checkpoint" / "config.json").read_text())
    return record


def prepare_backbone(variants: Sequence[Variant], budget: Budget) -> None:
    """Convert the default backbone once, before many processes want it."""
    from policy.model.backbone import DEFAULT_ID
    from policy.model.weights import smollm2_folder

    models = [budget.train_config(variant, budget.seeds[0]).model for variant in variants]
    if any(
        m.kind == "nioka" and m.backbone.architecture is None and m.backbone.id == DEFAULT_ID
        for m in models
    ):
        smollm2_folder()


def measures(results: Results, variant: str, name: str) -> list[float]:
    """A measure over all test samples, one value per seed in order."""
    return [run["test"]["all"][name] for _, run in sorted(results[variant].items())]


def validation_losses(results: Results, variant: str) -> list[float]:
    """The best validation loss of each seed in order."""
    return [run["progress"]["best_loss"] for _, run in sorted(results[variant].items())]


def seeds_of(text: str) -> tuple[int, ...]:
    """`0,1,2` as numbers. Raises BadParameter."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0,1,2") from None
