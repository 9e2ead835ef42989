"""``tbtest train``: train a model on an experience dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.cli.by_task import TaskCommand, task_option
from testbed.errors import UserError

if TYPE_CHECKING:
    from policy.training.config import Schedule
    from policy.training.state import Progress

KINDS = ("nioka", "gru", "mlp", "transformer", "direct")


@click.command(cls=TaskCommand)
@click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
@task_option()
@click.option(
    "--tasks",
    "task_names",
    metavar="NAMES",
    help="Several tasks, for one model of all: congestion,abr,cjs. DATASET then holds a folder for "
    "each, under its name.",
)
@click.option(
    "--model",
    "kind",
    type=click.Choice(KINDS),
    help="What to train; default: as the settings say, else nioka.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings in YAML; see docs/reference/nioka.md.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting; repeatable.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the results.",
)
@click.option(
    "--compare",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkpoint to evaluate on the same test traces; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print the settings in full and stop.")
def train(
    dataset: Path,
    task_name: str,
    task_names: str | None,
    kind: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    out: Path,
    compare: tuple[Path, ...],
    dry_run: bool,
) -> None:
    """Train NIOKA or a control on the experience in DATASET, by default for congestion control.

    Trains every seed, keeps the one that does best on the validation traces as OUT/checkpoint, and
    writes its model card. An interrupted run resumes when the same command is given again.

    \b
    The first experiment: a frozen LLM, only encoder and head learn:
        tbtest train experience --model nioka --set model.backbone.lora.rank=0 --out first
    A control on the same data:
        tbtest train experience --model gru --out gru
    One model of three tasks, from data/congestion, data/abr and data/cjs:
        tbtest train data --tasks congestion,abr,cjs --out generalist
    """
    from policy.tasks.registry import DEFAULT, learned_task

    if task_names is None:
        from policy.training.config import load_config

        chosen = None if task_name == DEFAULT else learned_task(task_name).name
        settings: Schedule = load_config(config, assignments, kind, chosen)
    else:
        from policy.training.mixture.config import load_mixture_config

        if compare:
            raise UserError("--compare: not with --tasks; the card shows the rule policies alone")
        named = [learned_task(name.strip()).name for name in task_names.split(",")]
        settings = load_mixture_config(named, config, assignments, kind)
    if dry_run:
        import yaml

        click.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)
        return
    folder = _train(dataset, settings, out, compare)
    click.echo(f"{folder}: see README.md there; logs: tensorboard --logdir {out}")


def _train(dataset: Path, settings: Schedule, out: Path, compare: tuple[Path, ...]) -> Path:
    """Train with a progress bar for each seed; the checkpoint's folder."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from policy.training.config import TrainConfig
    from policy.training.mixture.config import MixtureConfig
    from policy.training.mixture.run import train as train_mixture
    from policy.training.run import train as train_one_task

    columns = (
        TextColumn("seed {task.fields[seed]}"),
        BarColumn(),
        TextColumn(
            "{task.completed}/{task.total}  loss {task.fields[loss]:.4f}  {task.fields[validation]}"
        ),
        TimeRemainingColumn(),
    )
    with Bars(*columns) as bars:
        rows = {
            seed: bars.add_task(
                "",
                total=settings.max_steps,
                seed=seed,
                loss=float("nan"),
                validation="",
                start=False,
            )
            for seed in settings.seeds
        }

        def show(seed: int, progress: Progress) -> None:
            bars.start_task(rows[seed])
            bars.update(
                rows[seed],
                completed=progress.step,
                loss=progress.loss,
                validation=(
                    f"validation {progress.validation_loss:.4f}, best {progress.best_loss:.4f}"
                ),
            )

        if isinstance(settings, TrainConfig):
            return train_one_task(dataset, settings, out, compare=compare, on_progress=show)
        assert isinstance(settings, MixtureConfig)
        return train_mixture(dataset, settings, out, on_progress=show)
