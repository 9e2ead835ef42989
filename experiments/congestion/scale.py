"""Does size buy anything? The first 4, 8, 16 and all 30 blocks of SmolLM2-135M, trained alike; and
what size costs.

Trains every size and seed in a process of its own, `--jobs` at a time on one device, then measures
each size's engine alone, and that of larger shapes with random weights; writes results.json,
table.md and figure.svg. The same command again trains only what is missing.

\b
    python -m experiments.congestion.scale experience --out scale --jobs 6 --set max_steps=600
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from experiments.congestion.output import (
    about,
    markdown,
    new_figure,
    number,
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
    folder_of,
    measures,
    prepare_backbone,
    seeds_of,
    train_all,
    training_options,
    validation_losses,
)


def variants(layers: Sequence[int]) -> list[Variant]:
    """One per number of blocks, and the gru control."""
    return [
        *(Variant(f"{k} blocks", settings=(f"model.backbone.layers={k}",)) for k in layers),
        Variant("gru", kind="gru"),
    ]


def engine_rows(checkpoint_folder: Path, device: str, batches: Sequence[int]) -> dict[str, Any]:
    """Size and engine times of a checkpoint."""
    from policy.model import checkpoint

    model, info = checkpoint.load(checkpoint_folder)
    learned = sum(value.numel() for value in model.trained_parameters().values())
    return {"checkpoint_bytes": info.size_bytes, "learned": learned} | time_engine(
        model, device, batches
    )


def shape_rows(name: str, device: str, batches: Sequence[int]) -> dict[str, Any]:
    """The same of a larger shape with random weights."""
    import torch

    from bench.engine import SHAPES, random_model

    if name not in SHAPES:
        raise click.ClickException(f"no shape {name!r}; known: {', '.join(SHAPES)}")
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    gc.collect()  # the shape before
    torch.cuda.empty_cache()
    return time_engine(
        random_model(SHAPES[name], "5 tokens", torch.device(device), dtype), device, batches
    )


def time_engine(model: Any, device: str, batches: Sequence[int]) -> dict[str, Any]:
    """Parameters, and p50 and p99 in ms and decisions/s of the engine's default variant, per batch
    size.
    """
    from bench.engine import measure, random_inputs
    from policy.model.engine import default_engine

    parameters = sum(value.numel() for value in model.parameters())
    engine = default_engine(model, device)
    engine.warm_up()
    rows = {}
    for batch in batches:
        inputs = random_inputs(model, batch)
        row = measure(partial(engine.run, inputs), 2.0)
        row["decisions_per_s"] = batch * row.pop("per_s")
        rows[str(batch)] = row
    return {"parameters": parameters, "variant": engine.variant, "batches": rows}


def tables(results: dict[str, Any]) -> str:
    """results.json as Markdown."""
    runs, engines = _runs(results), results["engines"]
    batches = results["batches"]
    headings = (
        "model", "parameters, million", "MAPE %", "against all blocks, points", "validation loss",
        *(f"batch {batch}: p50 / p99 ms" for batch in batches), f"decisions/s at {batches[-1]}",
    )  # fmt: skip
    rows = []
    for name, engine in engines.items():
        quality = ["–"] * 3
        if name in runs:
            mape = measures(runs, name, "mape")
            largest = measures(runs, results["largest"], "mape")
            quality = [
                mean_ci95(mape).text(100),
                "–"
                if name == results["largest"]
                else difference_ci95(mape, largest).text(100, 2, "+"),
                mean_ci95(validation_losses(runs, name)).text(digits=3),
            ]
        times = [engine["batches"][str(batch)] for batch in batches]
        rows.append(
            (
                name,
                number(engine["parameters"] / 1e6),
                *quality,
                *(f"{number(t['p50_ms'], 2)} / {number(t['p99_ms'], 2)}" for t in times),
                number(times[-1]["decisions_per_s"], 0),
            )
        )
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"Means over seeds {seeds} with 95 % intervals (Student's t), on test traces, open loop. "
        "Times on "
        f"{results['about']['device']}, the engine alone, its default variant. Embedding tables "
        "are not counted.\n\n" + markdown(headings, rows) + "\n" + verdict(results) + "\n"
    )


def verdict(results: dict[str, Any]) -> str:
    """From how many blocks on the errors cannot be told from those of all blocks."""
    runs, largest = _runs(results), results["largest"]
    reference = measures(runs, largest, "mape")
    if len(reference) < 2:
        return "One seed has no interval: whether quality saturates cannot be said."
    worse = []
    for name in (name for name in runs if name not in (largest, "gru")):
        estimate = difference_ci95(measures(runs, name, "mape"), reference)
        if estimate.ci95 is not None and estimate.ci95[0] > 0:
            worse.append(name)
    if not worse:
        return (
            f"Early saturation: yes, as far as {len(reference)} seeds can tell: no smaller size is "
            "worse than "
            f"{largest} with an interval above zero."
        )
    return (
        f"Early saturation: not up to {worse[-1]}: {', '.join(worse)} worse than {largest}, "
        "intervals above zero."
    )


def _runs(results: dict[str, Any]) -> Results:
    return {
        name: {int(seed): run for seed, run in runs.items()}
        for name, runs in results["variants"].items()
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """Quality against size, and time against size."""
    runs, engines = _runs(results), results["engines"]
    figure, axes = new_figure(2)
    quality, cost = axes[0]
    for name in runs:
        estimate = mean_ci95([100 * value for value in measures(runs, name, "mape")])
        half = estimate.ci95[1] - estimate.mean if estimate.ci95 else 0.0
        place = engines[name]["parameters"] / 1e6
        quality.errorbar(
            [place],
            [estimate.mean],
            [half],
            fmt="o",
            capsize=4,
            color="C3" if name == "gru" else "C0",
        )
        quality.annotate(name, (place, estimate.mean), xytext=(4, 4), textcoords="offset points")
    quality.set_title("MAPE on test traces, %")
    for color, batch in enumerate(results["batches"]):
        points = {
            name: (engine["parameters"] / 1e6, engine["batches"][str(batch)]["p50_ms"])
            for name, engine in engines.items()
        }
        cost.plot(*points.pop("gru"), "x", color=f"C{color}")
        cost.plot(
            *zip(*sorted(points.values()), strict=True),
            "o-",
            color=f"C{color}",
            label=f"batch {batch}",
        )
    cost.set_title("engine, p50, ms (cross: gru)")
    cost.set_yscale("log")
    cost.legend()
    for axis in (quality, cost):
        axis.set_xscale("log")
        axis.set_xlabel("parameters, million")
    save_figure(figure, path)


def write(out: Path, results: dict[str, Any]) -> None:
    """All that is left in the folder."""
    save_results(out, results, tables(results))
    draw(results, out / "figure.svg")


@click.command(help=__doc__)
@training_options
@click.option("--layers", default="4,8,16,30", show_default=True, help="Blocks kept.")
@click.option(
    "--shapes",
    default=None,
    help="Shapes timed with random weights; default 0.5B, 3B and 7B on CUDA.",
)
def main(
    dataset: Path,
    out: Path,
    layers: str,
    shapes: str | None,
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
    sizes = variants([int(k) for k in layers.split(",")])
    prepare_backbone(sizes, budget)
    with Trainer(jobs) as trainer:
        runs = train_all(dataset, sizes, budget, out, jobs, trainer)
    device = resolved_device("auto")
    batches = (1, 64, 256) if device == "cuda" else (1, 8)
    if shapes is None:
        shapes = "qwen2.5-0.5b,qwen2.5-3b,qwen2.5-7b" if device == "cuda" else ""
    engines = {
        size.name: engine_rows(
            folder_of(out, size, budget.seeds[0]) / "checkpoint", device, batches
        )
        for size in sizes
    }
    results = {
        "about": about(device),
        "settings": list(assignments),
        "seeds": list(budget.seeds),
        "batches": list(batches),
        "largest": sizes[-2].name,
        "variants": runs,
        "engines": engines,
    }
    write(out, results)  # the larger shapes may not fit
    for name in filter(None, shapes.split(",")):
        engines[f"{name} shape, random"] = shape_rows(name, device, batches)
        write(out, results)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
