"""Pretrained against random backbone, frozen against LoRA, on the same data, budget and seeds.

Trains every variant and seed in a process of its own, `--jobs` at a time on one device, and writes
results.json, table.md and figure.svg. The same command again trains only what is missing.

\b
    python -m experiments.congestion.pretrained experience --out pretrained --jobs 6 --set
    max_steps=600
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from experiments.congestion.output import (
    about,
    markdown,
    new_figure,
    resolved_device,
    save_figure,
    save_results,
)
from experiments.congestion.seeds import difference_ci95, mean_ci95
from experiments.congestion.variants import (
    Budget,
    Results,
    Trainer,
    Variant,
    measures,
    prepare_backbone,
    seeds_of,
    train_all,
    training_options,
    validation_losses,
)

FROZEN = "model.backbone.lora.rank=0"
RANDOM = "model.backbone.pretrained=false"
VARIANTS = (
    Variant("pretrained, LoRA"),
    Variant("pretrained, frozen", settings=(FROZEN,)),
    Variant("random, LoRA", settings=(RANDOM,)),
    Variant("random, frozen", settings=(RANDOM, FROZEN)),
    Variant("gru", kind="gru"),
)
CONTRASTS = (
    ("pretrained - random, with LoRA", "pretrained, LoRA", "random, LoRA"),
    ("pretrained - random, frozen", "pretrained, frozen", "random, frozen"),
    ("LoRA - frozen, pretrained", "pretrained, LoRA", "pretrained, frozen"),
    ("LoRA - frozen, random", "random, LoRA", "random, frozen"),
    ("pretrained with LoRA - gru", "pretrained, LoRA", "gru"),
)


def tables(results: dict[str, Any]) -> str:
    """results.json as Markdown: errors of each variant, and differences by pairs of seeds."""
    runs = _runs(results)
    rows = [
        (
            name,
            mean_ci95(measures(runs, name, "mape")).text(100),
            mean_ci95(measures(runs, name, "overestimation")).text(100),
            mean_ci95(measures(runs, name, "underestimation")).text(100),
            mean_ci95(validation_losses(runs, name)).text(digits=3),
        )
        for name in runs
    ]
    headings = ("variant", "MAPE %", "over %", "under %", "validation loss")
    text = (
        f"Means over seeds {', '.join(map(str, results['seeds']))} with 95 % intervals (Student's "
        "t), on test traces, "
        f"open loop. Trained on {results['about']['device']}.\n\n" + markdown(headings, rows)
    )
    lines = []
    for label, first, second in CONTRASTS:
        mape = difference_ci95(measures(runs, first, "mape"), measures(runs, second, "mape"))
        loss = difference_ci95(validation_losses(runs, first), validation_losses(runs, second))
        apart = mape.ci95 is not None and (mape.ci95[0] > 0 or mape.ci95[1] < 0)
        lines.append(
            (label, mape.text(100, 2, "+"), loss.text(1, 4, "+"), "yes" if apart else "no")
        )
    return text + "\n" + markdown(
        ("difference by seeds", "MAPE, points", "validation loss", "MAPE intervals apart"), lines
    )  # fmt: skip


def _runs(results: dict[str, Any]) -> Results:
    return {
        name: {int(seed): run for seed, run in runs.items()}
        for name, runs in results["variants"].items()
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """MAPE of each variant: every seed, and the mean with its interval."""
    runs = _runs(results)
    figure, axes = new_figure(1)
    axis = axes[0][0]
    for place, name in enumerate(runs):
        values = [100 * value for value in measures(runs, name, "mape")]
        estimate = mean_ci95(values)
        half = estimate.ci95[1] - estimate.mean if estimate.ci95 else 0.0
        axis.errorbar([place], [estimate.mean], [half], fmt="o", capsize=4, color="C0")
        axis.plot([place + 0.15] * len(values), values, ".", color="C7")
    axis.set_xticks(range(len(runs)), [name.replace(", ", "\n") for name in runs])
    axis.set_title("MAPE on test traces, % (dots: seeds)")
    save_figure(figure, path)


def write(out: Path, results: dict[str, Any]) -> None:
    """All that is left in the folder."""
    save_results(out, results, tables(results))
    draw(results, out / "figure.svg")


@click.command(help=__doc__)
@training_options
def main(
    dataset: Path,
    out: Path,
    seeds: str,
    jobs: int,
    config: Path | None,
    assignments: tuple[str, ...],
    redraw: bool,
) -> None:
    if redraw:
        write(out, json.loads((out / "results.json").read_text()))
        return
    budget = Budget(config, assignments, seeds_of(seeds))
    prepare_backbone(VARIANTS, budget)
    with Trainer(jobs) as trainer:
        runs = train_all(dataset, VARIANTS, budget, out, jobs, trainer)
    results = {
        "about": about(resolved_device("auto")),
        "settings": list(assignments),
        "seeds": list(budget.seeds),
        "variants": runs,
    }
    write(out, results)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
