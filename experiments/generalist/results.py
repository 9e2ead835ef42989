"""Tables and figures of `campaign.py`'s results.

    python -m experiments.generalist.results docs/results/measured/h200-generalist.json \\
        --out docs/results

Prints the tables as Markdown and writes its figures into OUT. Intervals are of 95 %,
from a paired hierarchical bootstrap: seeds are drawn, and units within them, as many as there are
(10,000 times). Everything is relative to the row that is compared with; better is positive.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.output import markdown, new_figure, number, save_figure
from experiments.generalist.judge import BETTER
from experiments.generalist.rows import ROWS, TASKS

Floats = NDArray[np.float64]
Runs = dict[str, dict[str, Any]]
RESAMPLES = 10_000
_SEED = 20_251_211
LABELS = {"congestion": "congestion", "abr": "streaming", "cjs": "scheduling"}
SIZES = {"E-4": 4, "E": 8, "E-16": 16, "E-30": 30, "B-4": 4, "B": 8, "B-16": 16, "B-30": 30}


def load(source: Path) -> Runs:
    """The runs that ended, by name: of a campaign's folder, or of one file that holds them all."""
    if source.is_dir():
        records = [
            json.loads(file.read_text()) for file in sorted((source / "runs").glob("*.json"))
        ]
    else:
        records = json.loads(source.read_text())["runs"]
    return {record["name"]: record for record in records if "failed" not in record}


def seeds_of(runs: Runs, row: str, task: str) -> dict[int, dict[str, Any]]:
    """Records of a row for a task by seed, whether trained on all tasks or on that one alone."""
    return {
        record["seed"]: record
        for name, record in runs.items()
        if name.split("/")[0] in (row, f"{row}-{task}") and task in record.get("tasks", ())
    }


def by_unit(record: dict[str, Any], task: str, closed: bool) -> Floats | None:
    """Values of the test units, in the closed loop or of the task's error; less is better of
    errors.
    """
    if not closed:
        return np.array(record["units"][task]) if "units" in record else None
    units = record.get("closed", {}).get(task, {}).get("units")
    return None if units is None else np.array([units[name] for name in sorted(units)])


def table_of(runs: Runs, row: str, task: str, closed: bool) -> Floats | None:
    """Values [seeds, units]; None where there are none."""
    values = [by_unit(record, task, closed) for record in seeds_of(runs, row, task).values()]
    known = [one for one in values if one is not None]
    return np.stack(known) if known else None


def difference(one: Floats, other: Floats, sign: float) -> tuple[float, float, float]:
    """One less other in per cent of the other's mean, and its interval."""
    random = np.random.default_rng(_SEED)
    units = one.shape[1]
    own, theirs = (
        _means(table, random.integers(0, len(table), (RESAMPLES, len(table))))
        for table in (one, other)
    )
    drawn = random.integers(0, units, (RESAMPLES, units))
    gap = np.take_along_axis(own - theirs, drawn, axis=1).mean(axis=1)
    size = abs(float(other.mean()))
    low, high = np.percentile(100 * sign * gap / size, [2.5, 97.5])
    return 100 * sign * float(one.mean() - other.mean()) / size, float(low), float(high)


def _means(table: Floats, seeds: NDArray[np.int64]) -> Floats:
    """Means over drawn seeds [resamples, units]."""
    counts = np.apply_along_axis(np.bincount, 1, seeds, minlength=len(table))
    means: Floats = counts @ table / len(table)
    return means


def rows_table(runs: Runs) -> str:
    """Losses of all rows on test samples, as shares of the best constant output's."""
    lines = []
    for row, about in (
        {name: one.about for name, one in ROWS.items()}
        | {"H": "A's adapters, merged without training"}
    ).items():
        cells = []
        for task in TASKS:
            found = [
                one["losses"]["test"][task]
                for one in seeds_of(runs, row, task).values()
                if "losses" in one
            ]
            cells.append(f"{np.mean(found):.3f} ± {np.std(found):.3f}" if found else "–")
        seeds = max(len(seeds_of(runs, row, task)) for task in TASKS)
        if seeds:
            parameters = sum(
                one["parameters"]
                for task in TASKS
                for one in list(seeds_of(runs, row, task).values())[:1]
                if "parameters" in one
            )
            if not ROWS.get(row, ROWS["A"]).alone:
                parameters //= len(TASKS)
            size = f"{parameters / 1e6:.2f} M" if parameters and row != "H" else "–"
            lines.append([f"{row}: {about}", seeds, size, *cells])
    heads = ["row", "seeds", "trained", *(LABELS[task] for task in TASKS)]
    return markdown(heads, lines)


def closed_table(runs: Runs) -> str:
    """Scores of the closed loops: means over seeds and units."""
    lines = []
    names = dict.fromkeys(one["row"] for one in runs.values() if one["kind"] == "reference")
    for row in (*ROWS, "H", *names):
        cells = []
        for task in TASKS:
            table = table_of(runs, row, task, closed=True)
            cells.append(
                "–" if table is None else f"{table.mean():.3f} ± {table.mean(axis=1).std():.3f}"
            )
        if any(cell != "–" for cell in cells):
            lines.append([row, *cells])
    return markdown(["row", *(LABELS[task] for task in TASKS)], lines)


def comparisons(runs: Runs, pairs: list[tuple[str, str]]) -> str:
    """Differences with intervals, in the closed loop and of the open-loop error."""
    lines = []
    for one, other in pairs:
        for task in TASKS:
            cells = []
            for closed in (True, False):
                tables = [table_of(runs, row, task, closed) for row in (one, other)]
                if tables[0] is None or tables[1] is None:
                    cells.append("–")
                    continue
                sign = BETTER[task] if closed else -1.0
                mean, low, high = difference(tables[0], tables[1], sign)
                cells.append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
            if cells != ["–", "–"]:
                lines.append([f"{one} less {other}", LABELS[task], *cells])
    return markdown(["rows", "task", "closed loop, %", "error on test samples, %"], lines)


def scale_table(runs: Runs) -> str:
    """Test loss by number of blocks, pretrained and random, and what training did."""
    lines = []
    for row, blocks in SIZES.items():
        records = list(seeds_of(runs, row, TASKS[0]).values())
        if not records:
            continue
        losses = [
            f"{np.mean([one['losses']['test'][task] for one in records]):.3f} ± "
            f"{np.std([one['losses']['test'][task] for one in records]):.3f}"
            for task in TASKS
        ]
        rank = np.mean([np.mean(one["update"]["effective_rank"]) for one in records])
        relative = np.mean([np.mean(one["update"]["relative"]) for one in records])
        moved = np.mean([np.mean(list(one["moved"].values())) for one in records])
        kind = "random" if row.startswith("E") else "pretrained"
        lines.append(
            [
                f"{kind}, {blocks}",
                *losses,
                f"{rank:.1f}",
                f"{100 * relative:.1f} %",
                f"{100 * moved:.0f} %",
            ]
        )
    heads = ["blocks", *(LABELS[task] for task in TASKS), "effective rank", "update", "moved"]
    return markdown(heads, lines)


def scale_figure(runs: Runs, file: Path) -> None:
    """Test loss against blocks, and what linear probes read after each block of the largest."""
    figure, axes = new_figure(3, 2)
    for column, task in enumerate(TASKS):
        for kind, rows in (
            ("pretrained", ("B-4", "B", "B-16", "B-30")),
            ("random", ("E-4", "E", "E-16", "E-30")),
        ):
            points = [
                (
                    SIZES[row],
                    [one["losses"]["test"][task] for one in seeds_of(runs, row, task).values()],
                )
                for row in rows
            ]
            points = [point for point in points if point[1]]
            if points:
                axes[0][column].errorbar(
                    [x for x, _ in points],
                    [np.mean(y) for _, y in points],
                    [np.std(y) for _, y in points],
                    marker="o",
                    capsize=3,
                    label=kind,
                )
            curves: list[Any] = []
            for row in reversed(rows):
                curves = curves or [
                    one["probes"][task]
                    for one in seeds_of(runs, row, task).values()
                    if "probes" in one
                ]
            if curves:
                axes[1][column].plot(np.mean(curves, axis=0), label=kind)
        small = [one["losses"]["test"][task] for one in seeds_of(runs, "G", task).values()]
        if small:
            axes[0][column].axhline(np.mean(small), color="k", ls=":", label="G: 2 blocks of 128")
        axes[0][column].set(title=LABELS[task], xlabel="blocks", xscale="log")
        axes[0][column].set_xticks([4, 8, 16, 30], ["4", "8", "16", "30"])
        axes[0][column].minorticks_off()
        axes[1][column].set(xlabel="after block", ylim=(-0.2, 1.0))
    axes[0][0].set_ylabel("test loss / constant")
    axes[1][0].set_ylabel("R² of linear probes")
    axes[0][0].legend()
    axes[1][0].legend()
    save_figure(figure, file)


def few_points(
    runs: Runs, row: str, left: str, way: str, noise: bool = False
) -> dict[float, Floats]:
    """Test losses over seeds by share of the left task's samples."""
    found: dict[float, list[float]] = {}
    for name, record in runs.items():
        if name.startswith(f"few-{row}@{left}{'-noise' * noise}/"):
            for point in record["points"]:
                if point["way"] == way:
                    found.setdefault(point["share"], []).append(point["test"])
    return {share: np.array(found[share]) for share in sorted(found)}


def area(points: dict[float, Floats]) -> Floats:
    """Area under each seed's curve of the test loss over the log of the share, as a mean height."""
    shares = np.log(np.array(list(points)))
    values = np.stack(list(points.values()))
    heights = (values[1:] + values[:-1]) / 2
    areas: Floats = (heights * np.diff(shares)[:, None]).sum(axis=0) / (shares[-1] - shares[0])
    return areas


CURVES = (
    ("B", "all"),
    ("B", "ends"),
    ("B", "scratch"),
    ("E", "all"),
    ("E", "scratch"),
    ("G", "all"),
    ("G", "ends"),
    ("G", "scratch"),
)


def few_table(runs: Runs) -> str:
    """Mean height of the few-shot curves; less is better."""
    lines = []
    for row, way in CURVES:
        for noise in (False, True):
            cells, seeds = [], 0
            for task in TASKS:
                points = few_points(runs, row, task, way, noise)
                if noise:
                    points = {
                        share: one for share, one in points.items() if share in (0.01, 0.1, 1.0)
                    }
                same = {len(one) for one in points.values()}
                if len(points) < 2 or len(same) != 1:
                    cells.append("–")
                    continue
                seeds = max(seeds, *same)
                heights = area(points)
                cells.append(f"{heights.mean():.3f} ± {heights.std():.3f}")
            if seeds:
                lines.append([f"{row}, {way}{', others noise' * noise}", seeds, *cells])
    return markdown(["row, what adapts", "seeds", *(LABELS[task] for task in TASKS)], lines)


def few_at(runs: Runs, shares: tuple[float, ...]) -> str:
    """Test losses of the curves at some shares."""
    lines = []
    for task in TASKS:
        for row, way in CURVES:
            points = few_points(runs, row, task, way)
            if points:
                lines.append(
                    [
                        LABELS[task],
                        f"{row}, {way}",
                        *(
                            f"{points[share].mean():.3f}" if share in points else "–"
                            for share in shares
                        ),
                    ]
                )
    return markdown(["left task", "row", *(f"{100 * share:g} %" for share in shares)], lines)


def few_figure(runs: Runs, file: Path) -> None:
    """The few-shot curves."""
    figure, axes = new_figure(3)
    styles = {"all": "-", "ends": "--", "scratch": ":"}
    colours = {"B": "C0", "E": "C1", "G": "C2"}
    for column, task in enumerate(TASKS):
        for row, way in CURVES:
            points = few_points(runs, row, task, way)
            if points:
                means = np.array([one.mean() for one in points.values()])
                axes[0][column].plot(
                    [100 * share for share in points],
                    means,
                    styles[way],
                    color=colours[row],
                    marker=".",
                    label=f"{row}, {way}",
                )
        axes[0][column].set(
            title=f"{LABELS[task]} left out", xlabel="% of its samples", xscale="log"
        )
    axes[0][0].set_ylabel("test loss / constant")
    axes[0][0].legend(ncols=2)
    save_figure(figure, file)


def rates_table(runs: Runs) -> str:
    """What the search for a learning rate found."""
    found: dict[str, dict[str, float]] = {}
    for record in runs.values():
        if record["kind"] == "rate":
            found.setdefault(record["row"], {})[f"{record['rate']:g}"] = record["best_loss"]
    rates = sorted({rate for one in found.values() for rate in one}, key=float)
    lines = [[row, *(number(one.get(rate), 3) for rate in rates)] for row, one in found.items()]
    return markdown(["row", *rates], lines)


def exchanged_table(runs: Runs) -> str:
    """Validation losses where each task has the next one's token, and where there is none."""
    lines = []
    for row in ("B", "G"):
        for label, key in (("own token", "validation"), ("the next task's", "exchanged")):
            cells = []
            for task in TASKS:
                records = seeds_of(runs, row, task).values()
                values = [
                    one["losses"]["validation"][task] if key == "validation" else one[key][task]
                    for one in records
                    if "exchanged" in one
                ]
                cells.append(f"{np.mean(values):.3f}" if values else "–")
            lines.append([f"{row}, {label}", *cells])
        cells = [
            f"{np.mean(x):.3f}"
            if (
                x := [
                    one["losses"]["validation"][task]
                    for one in seeds_of(runs, f"{row}-no-token", task).values()
                ]
            )
            else "–"
            for task in TASKS
        ]
        lines.append([f"{row}, trained without", *cells])
    return markdown(["", *(LABELS[task] for task in TASKS)], lines)


PAIRS = [
    ("B", "A"),
    ("G", "F"),
    ("B", "G"),
    ("B", "E"),
    ("G-long", "G"),
    ("G-long", "F-long"),
    ("B", "G-long"),
    ("I", "G"),
    ("H", "A"),
    ("B", "B-no-token"),
    ("G", "G-no-token"),
    ("B", "C"),
    ("G-long", "F"),
    ("G-long", "A"),
    ("A", "F"),
    ("G-long", "fair"),
    ("G-long", "gcc"),
    ("G-long", "persistence"),
    ("B", "policy"),
    ("B", "F"),
    ("E", "G"),
]


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--save", type=click.Path(path_type=Path), help="Write all runs into one file.")
def main(source: Path, out: Path, save: Path | None) -> None:
    """Print tables, write figures."""
    runs = load(source)
    if save is not None:
        lines = ",\n".join(json.dumps(record) for record in runs.values())
        save.write_text(f'{{"runs": [\n{lines}\n]}}\n')
    out.mkdir(parents=True, exist_ok=True)
    for title, text in (
        ("Learning rates", rates_table(runs)),
        ("Rows", rows_table(runs)),
        ("Closed loop", closed_table(runs)),
        ("Differences", comparisons(runs, PAIRS)),
        ("Scale", scale_table(runs)),
        ("Few-shot, mean height", few_table(runs)),
        ("Few-shot", few_at(runs, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0))),
        ("Tokens", exchanged_table(runs)),
    ):
        click.echo(f"## {title}\n\n{text}")
    scale_figure(runs, out / "generalist-blocks.svg")
    if any(one["kind"] == "few" for one in runs.values()):
        few_figure(runs, out / "generalist-few-shot.svg")


if __name__ == "__main__":
    main()
