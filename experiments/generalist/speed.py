"""How long a training step of each row takes, and whether it can be recorded as one CUDA graph.

    python -m experiments.generalist.speed data --rows B,G,A-cjs --together B,E,C,A-cjs

A line for each row alone, then the steps of `--together`, each on a stream of its own. On CUDA a
recording is made to fail in the end, as one that a task cannot be recorded for would: the row after
it must not mind.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import torch

from experiments.generalist.fast import Trained, build, training
from experiments.generalist.gradients import Gradients
from experiments.generalist.kept import keep_backbones
from experiments.generalist.plan import TINY, Plan
from experiments.generalist.resident import Resident
from experiments.generalist.rows import TASKS
from experiments.generalist.settings import load_data, settings_of

ROWS_TRIED = "G,F-cjs,F-congestion,F-abr,B,E,C,A-cjs,A-congestion,A-abr,D,E-all,B-4,B-16,B-30"
Training = Generator[None, None, Trained]


def begin(
    plan: Plan, name: str, data: dict[str, Resident], device: torch.device, steps: int
) -> Training:
    """A training of a row; of a specialist's, ROW-TASK."""
    row, _, task = name.partition("-")
    tasks = (task,) if task in TASKS else TASKS
    row = row if task in TASKS else name
    config = settings_of(plan, row, tasks, 0, max_steps=steps, evaluate_every=steps)
    model = build(config, 0, device)
    return training(model, config, 0, {task: data[task] for task in tasks})


def fail_once(plan: Plan, data: dict[str, Resident], device: torch.device) -> str:
    """Record a step that waits for the device in the middle; says what came of it."""

    class Waiting(Gradients):
        def _eager(self) -> None:
            super()._eager()
            if torch.cuda.is_current_stream_capturing():
                self.total.item()

    config = settings_of(plan, "G", TASKS, 0)
    model = build(config, 0, device)
    sizes, shares = dict.fromkeys(TASKS, plan.batch), dict.fromkeys(TASKS, 1 / 3)
    gradients = Waiting(model.train(), config, data, sizes, shares)
    recorded = gradients.capture()
    gradients.run()
    torch.cuda.synchronize()
    return f"recorded: {recorded}, {gradients.failed!r}; an eager step after it ran"


@click.command()
@click.argument("folder", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--rows", default=ROWS_TRIED, show_default=True)
@click.option("--together", default="")
@click.option("--steps", default=60, show_default=True)
@click.option("--tiny", is_flag=True)
def main(folder: Path, rows: str, together: str, steps: int, tiny: bool) -> None:
    """Try the rows, each in turn."""
    plan = TINY if tiny else Plan()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cuda = device.type == "cuda"
    keep_backbones()
    _, data = load_data(plan, folder, device)
    click.echo("samples: " + ", ".join(f"{k} {len(v.sides['train'])}" for k, v in data.items()))
    groups = [[name] for name in rows.split(",") if name]
    groups += [together.split(",")] if together else []
    for group in [*groups, *([["fail"], ["G"]] if cuda else [])]:
        try:
            if group == ["fail"]:
                click.echo(f"a recording that fails: {fail_once(plan, data, device)}")
            else:
                click.echo(f"{' + '.join(group)}: {timed(plan, group, data, device, steps)}")
        except Exception as error:  # noqa: BLE001 (the other rows are to be tried)
            click.echo(f"{' + '.join(group)}: {error!r}")


def timed(
    plan: Plan, group: list[str], data: dict[str, Resident], device: torch.device, steps: int
) -> str:
    """Steps of all of a group in turn, and what came of their recordings."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    ended: list[Trained] = []
    running = [(begin(plan, name, data, device, steps), _stream(cuda)) for name in group]
    for one in running:
        _advance(one, ended)
    _wait(cuda)
    built, ran = time.monotonic() - began, time.monotonic()
    for _ in range(steps - 2):
        for one in running:
            _advance(one, ended)
    _wait(cuda)
    each = 1e3 * (time.monotonic() - ran) / max(steps - 2, 1)
    for _ in range(2):
        for one in running:
            _advance(one, ended)
    about = "; ".join(f"{x.captured} {x.not_captured[:200]} {x.best_loss:.3f}" for x in ended)
    memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
    return f"{each:.2f} ms a step, {built:.1f} s before; {memory:.1f} GiB; recorded: {about}"


def _advance(one: tuple[Training, Any], ended: list[Trained]) -> None:
    with torch.cuda.stream(one[1]) if one[1] is not None else nullcontext():
        try:
            next(one[0])
        except StopIteration as end:
            ended.append(end.value)


def _stream(cuda: bool) -> Any:
    return torch.cuda.Stream() if cuda else None


def _wait(cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
