"""Leave one task out, then learn it from few samples on the backbone of the other two.

    python -m experiments.generalist.few_shot data --out few --rows B,E,G     # on a GPU
    python -m experiments.generalist.judge few --data data --abr ABR --profiles tpch.parquet \\
        --out few.json

For each task and row: the row's model learns the other tasks; then the left task is learned with a
share of its training samples, from there with the backbone fixed (`ends`) and free (`all`), and
from scratch. With `--noise` the other tasks' answers belong to other samples: what is then still
transferred is no knowledge of a task. OUT/ROW@TASK-SHARE-HOW/SEED holds each checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.generalist.rows import ROWS, TASKS, config_of
from policy.tasks.base import Arrays, Dataset, Samples, Split, TaskConfig
from policy.training.mixture.data import open_datasets
from policy.training.mixture.run import train

SHARES = (0.003, 0.01, 0.03, 0.1, 1.0)


class Fewer:
    """A dataset with a share of its training samples: a run of consecutive ones, so that they come
    of few sources, as little data does.
    """

    def __init__(self, dataset: Dataset, share: float, seed: int) -> None:
        self._dataset, self._share, self._seed = dataset, share, seed

    @property
    def about(self) -> dict[str, Any]:
        return self._dataset.about | {"training_share": self._share}

    def samples(self, split: Split, config: TaskConfig) -> Samples:
        whole = self._dataset.samples(split, config)
        if split != "train":
            return whole
        count = max(1, round(self._share * len(whole)))
        first = int(np.random.default_rng(self._seed).integers(len(whole) - count + 1))
        rows = np.arange(first, first + count)
        return Picked(whole, rows, rows)


class Noise:
    """A dataset whose training answers belong to other samples."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    @property
    def about(self) -> dict[str, Any]:
        return self._dataset.about | {"answers": "of other samples"}

    def samples(self, split: Split, config: TaskConfig) -> Samples:
        whole = self._dataset.samples(split, config)
        rows = np.arange(len(whole))
        return Picked(whole, rows, np.random.default_rng(self._seed).permutation(rows))


class Picked:
    """Samples [N] with the inputs of `rows` and the targets of `answers`."""

    def __init__(
        self, samples: Samples, rows: NDArray[np.int64], answers: NDArray[np.int64]
    ) -> None:
        self._samples, self._rows, self._answers = samples, rows, answers
        self.families = samples.families[rows]
        self.baselines: dict[str, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Arrays]:
        inputs, _ = self._samples.batch(self._rows[indices])
        return inputs, self._samples.batch(self._answers[indices])[1]

    def target_return(self) -> float:
        return self._samples.target_return()


def adapt(
    datasets: dict[str, Dataset],
    name: str,
    left: str,
    seed: int,
    shares: tuple[float, ...],
    out: Path,
    cpu: bool,
    noise: bool,
    more: dict[str, Any],
) -> None:
    """Every way to learn the left task, for one row and seed."""
    row, others = ROWS[name], tuple(task for task in TASKS if task != left)
    label = f"{name}@{left}" + "-noise" * noise
    known = {task: Noise(datasets[task], seed) if noise else datasets[task] for task in others}
    before = out / f"{label}-before" / str(seed)
    if not (before / "checkpoint" / "config.json").exists():
        train(known, config_of(row, others, seed, cpu, more), before)
    ways: dict[str, dict[str, Any]] = {
        "ends": {"start": str(before / "checkpoint"), "train_backbone": False},
        "all": {"start": str(before / "checkpoint")},
        "scratch": {},
    }
    for share in shares:
        for way, settings in ways.items():
            folder = out / f"{label}-{share:g}-{way}" / str(seed)
            if (folder / "checkpoint" / "config.json").exists() or (noise and way == "scratch"):
                continue
            train(
                {left: Fewer(datasets[left], share, seed)},
                config_of(row, (left,), seed, cpu, more | settings),
                folder,
            )
            click.echo(str(folder))


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--rows", "names", default="B,E,G", show_default=True)
@click.option("--left", default=",".join(TASKS), show_default=True, help="Tasks to leave out.")
@click.option("--seeds", default="0,1,2,3,4", show_default=True)
@click.option("--shares", default=",".join(map(str, SHARES)), show_default=True)
@click.option("--noise", is_flag=True, help="The control: answers of other samples.")
@click.option("--cpu", is_flag=True, help="Few steps of few samples.")
@click.option("--steps", type=click.IntRange(min=1))
def main(
    data: Path,
    out: Path,
    names: str,
    left: str,
    seeds: str,
    shares: str,
    noise: bool,
    cpu: bool,
    steps: int | None,
) -> None:
    """Train what the few-shot curves need, seed by seed; what is there is not trained again."""
    datasets = open_datasets(data, list(TASKS))
    more = {} if steps is None else {"max_steps": steps}
    wanted = tuple(map(float, shares.split(",")))
    for seed in map(int, seeds.split(",")):
        for name in names.split(","):
            for task in left.split(","):
                adapt(datasets, name, task, seed, wanted, out, cpu, noise, more)


if __name__ == "__main__":
    main()
