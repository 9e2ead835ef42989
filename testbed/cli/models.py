"""``tbtest models``: the checkpoints at hand, what they say of themselves, and portable files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from policy.model.info import CheckpointInfo


@click.group()
def models() -> None:
    """List trained models, show one's card, export or merge them."""


@models.command("list")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
def list_models(folders: tuple[Path, ...]) -> None:
    """List the bundled models and those below FOLDERS."""
    from rich.console import Console
    from rich.table import Table

    from policy.model import info as checkpoints

    found = dict(checkpoints.bundled())
    for folder in folders:
        for config in sorted(folder.rglob("config.json")):
            if any(config.parent.glob("*head.safetensors")):
                found[str(config.parent)] = config.parent
    table = Table("name", "tasks", "model", "backbone", "error on test", "size", box=None)
    for name, path in found.items():
        info = checkpoints.read_info(path)
        table.add_row(
            name,
            ", ".join(info.tasks),
            f"{info.model.kind}{_asked(info)}",
            _backbone(info),
            _test_error(info),
            f"{info.size_bytes / 1e6:.1f} MB",
        )
    if not found:
        click.echo("no models; train one with `tbtest train`, then name its folder here")
        return
    Console().print(table)


@models.command("show")
@click.argument("name")
def show_model(name: str) -> None:
    """Show the model card of NAME: a bundled model, a checkpoint's folder, or a checkpoint
    of one file (*.safetensors), as adaptive bitrate streaming has them.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from policy.model import info as checkpoints

    if name.endswith(".safetensors"):
        Console().print(Markdown(checkpoints.task_of_file(Path(name)).card(Path(name))))
        return

    info = checkpoints.read_info(checkpoints.resolve(name))
    Console().print(Markdown((info.folder / "README.md").read_text()))


@models.command("export")
@click.argument("names", nargs=-1)
def export_models(names: tuple[str, ...]) -> None:
    """Make the portable files of NAMES, by default of all bundled models.

    A portable file is the whole model for CPUs without PyTorch, of one task where a model has
    several. It lies in its checkpoint's folder; an LLM's weights in it are int8. Needs the `policy`
    extra and, for an LLM, its backbone.
    """
    from policy.errors import PolicyError
    from policy.model import info as checkpoints

    try:
        from policy.model.export import export
    except ImportError as error:
        raise PolicyError(f"exporting needs PyTorch ({error}); make policy") from None
    for name in names or tuple(checkpoints.bundled()):
        if name.endswith(".safetensors"):
            file = checkpoints.task_of_file(Path(name)).export(Path(name))
            click.echo(f"{name}: {file}, {file.stat().st_size / 1e6:.1f} MB")
            continue
        folder = checkpoints.resolve(name)
        for portable in export(folder):
            size = (folder / portable.file).stat().st_size
            click.echo(f"{name}: {folder / portable.file}, {size / 1e6:.1f} MB, {portable.weights}")


@models.command("merge")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--weight", type=float, show_default="1 / number of FOLDERS", help="Of each one's adapters."
)
def merge_models(folders: tuple[Path, ...], out: Path, weight: float | None) -> None:
    """Merge the adapters of specialists into one model of all their tasks, without training.

    FOLDERS are checkpoints of `tbtest train --tasks`, each of other tasks.
    """
    from policy.errors import PolicyError

    try:
        from policy.model.merge import merge
    except ImportError as error:
        raise PolicyError(f"merging needs PyTorch ({error}); make policy") from None
    click.echo(f"{merge(folders, out, weight)}: see README.md there")


def _backbone(info: CheckpointInfo) -> str:
    if info.model.kind != "nioka":
        return "–"
    layers = info.model.backbone.layers
    return info.model.backbone.id + (f", {layers} blocks" if layers else "")


def _asked(info: CheckpointInfo) -> str:
    return "" if info.model.objective == "near-optimal" else f" ({info.model.objective})"


def _test_error(info: CheckpointInfo) -> str:
    from policy.tasks.registry import learned_task

    try:
        test = info.training["seeds"][str(info.training["seed"])]["test"]
        parts = []
        for task in info.tasks:
            first = learned_task(task).shown[0]
            measures = test if info.joint is None else test[task]
            parts.append(f"{first.label} {first.text(measures['all'][first.name])}")
        return ", ".join(parts)
    except (KeyError, TypeError):
        return "–"
