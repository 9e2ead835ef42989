"""What a decision costs: parameters, memory of the weights and time, of G and of B on this machine.

    python -m experiments.generalist.cost                # G with random weights
    python -m experiments.generalist.cost --row B        # the LLM, whose weights must be here

Times are the least of several runs through one engine, batch by batch of each task.
"""

from __future__ import annotations

import time

import click
import numpy as np

from experiments.generalist.rows import ROWS, TASKS, config_of
from policy.model.joint import JointModel
from policy.model.joint_policy import engines

BATCHES = (1, 16, 64)


@click.command()
@click.option("--row", default="G", show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--runs", default=7, show_default=True)
def main(row: str, device: str, runs: int) -> None:
    """Print a table."""
    model = JointModel(config_of(ROWS[row], TASKS, 0, cpu=False, more={}).model)
    trained = sum(value.numel() for value in model.trained_parameters().values())
    held = sum(value.numel() * value.element_size() for value in model.parameters())
    backbone = sum(value.numel() for value in model.backbone.parameters())
    click.echo(
        f"row {row}: {trained:,} parameters trained, {backbone:,} in the backbone; "
        f"{held / 1e6:.1f} MB of weights in float32"
    )
    specs = {task: one.task.inputs(one.config) for task, one in model.models.items()}
    tokens = {task: one.tokens for task, one in model.models.items()}
    made = engines(model, device)
    click.echo("\n| task | tokens | " + " | ".join(f"batch of {n}, ms" for n in BATCHES) + " |")
    click.echo("|---|---:|" + "---:|" * len(BATCHES))
    for task, engine in made.items():
        cells = []
        for n in BATCHES:
            # Ones: divisions by bandwidth and round trip are defined.
            inputs = {array.name: np.ones((n, *array.shape), array.dtype) for array in specs[task]}
            if "place" in inputs:
                inputs["place"][:] = 0
            taken = []
            for _ in range(runs):
                began = time.perf_counter()
                engine.run(inputs)
                taken.append(time.perf_counter() - began)
            cells.append(f"{1e3 * min(taken):.1f}")
        click.echo(f"| {task} | {tokens[task]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
