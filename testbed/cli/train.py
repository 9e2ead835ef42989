"""``tbtest train``: train a model on an experience dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.cli.by_task import TaskCommand, task_option

if TYPE_CHECKING:
    from policy.training.trainer import Progress

KINDS = ("nioka", "gru", "mlp", "transformer", "direct")


@click.command(cls=TaskCommand)
@click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
@task_option()
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
    """
    from policy.tasks.registry import DEFAULT, learned_task
    from policy.training.config import load_config

    chosen = None if task_name == DEFAULT else learned_task(task_name).name
    settings = load_config(config, assignments, kind, chosen)
    if dry_run:
        import yaml

        click.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from policy.training.run import train as run_training

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

        folder = run_training(dataset, settings, out, compare=compare, on_progress=show)
    click.echo(f"{folder}: see README.md there; logs: tensorboard --logdir {out}")
