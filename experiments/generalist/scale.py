"""What the size of the language model does: a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.congestion.output import markdown, new_figure, save_figure
from experiments.generalist.measured import LABELS, Runs, seeds_of, table_of
from experiments.generalist.rows import TASKS


class Size(NamedTuple):
    """Of a backbone. `millions`: of parameters in its blocks."""

    about: str
    millions: float


SIZES = {
    **{str(n): Size(f"{n} blocks", 3.54 * n) for n in (4, 8, 16, 30)},
    "qwen-0.5b": Size("Qwen2.5-Coder 0.5B", 357.8),
    "qwen-1.5b": Size("Qwen2.5-Coder 1.5B", 1310.1),
}
"""By the end of a row's name."""


def sizes(runs: Runs, row: str) -> dict[str, Size]:
    """Sizes by row: those trained for this comparison, or the row itself for 8 blocks."""
    found = {f"{row}-{name}": size for name, size in SIZES.items()}
    if not seeds_of(runs, f"{row}-8", TASKS[0]):
        found = {row if name == f"{row}-8" else name: size for name, size in found.items()}
    return found


def scale_table(runs: Runs) -> str:
    """Test loss by size, pretrained and random, and what training did."""
    lines = []
    for row, size in (sizes(runs, "E") | sizes(runs, "B")).items():
        records = [one for one in seeds_of(runs, row, TASKS[0]).values() if "losses" in one]
        if not records:
            continue
        losses = [
            f"{np.mean([one['losses']['test'][task] for one in records]):.3f} ± "
            f"{np.std([one['losses']['test'][task] for one in records]):.3f}"
            for task in TASKS
        ]
        rank = np.mean([np.mean(one["update"]["effective_rank"]) for one in records])
        scores = []
        for task in TASKS:
            table = table_of(runs, row, task, closed=True)
            scores.append(
                "–" if table is None else f"{table.mean():.3f} ± {table.mean(axis=1).std():.3f}"
            )
        relative = np.mean([np.mean(one["update"]["relative"]) for one in records])
        moved = np.mean([np.mean(list(one["moved"].values())) for one in records])
        kind = "random" if row.startswith("E") else "pretrained"
        lines.append(
            [
                f"{kind}, {size.about}",
                f"{size.millions:.0f} M",
                len(records),
                *losses,
                *scores,
                f"{rank:.1f}",
                f"{100 * relative:.1f} %",
                f"{100 * moved:.0f} %",
            ]
        )
    names = [LABELS[task] for task in TASKS]
    heads = [
        "backbone",
        "in its blocks",
        "seeds",
        *names,
        *(f"{x}, score" for x in names),
        "effective rank",
        "update",
        "moved",
    ]
    return markdown(heads, lines)


def scale_figure(runs: Runs, file: Path) -> None:
    """Test loss against the blocks' parameters, and what linear probes read after each block of the
    largest backbone of which both are known.
    """
    figure, axes = new_figure(3, 2)
    rows = {"pretrained": sizes(runs, "B"), "random": sizes(runs, "E")}
    for column, task in enumerate(TASKS):
        shown: set[float] = set()
        for kind, by_row in rows.items():
            points = {
                size.millions: found
                for row, size in by_row.items()
                if (found := _each(runs, row, task, "losses"))
            }
            shown |= set(points)
            if points:
                losses = [[one["test"][task] for one in found] for found in points.values()]
                axes[0][column].errorbar(
                    list(points),
                    [np.mean(one) for one in losses],
                    [np.std(one) for one in losses],
                    marker="o",
                    capsize=3,
                    label=kind,
                )
        probed = [
            pair
            for pair in zip(*(by_row.items() for by_row in rows.values()), strict=True)
            if all(_each(runs, row, task, "probes") for row, _ in pair)
        ]
        about = ""
        if probed:
            about = f", {probed[-1][0][1].about}"
            for kind, (row, _) in zip(rows, probed[-1], strict=True):
                curves = [one[task] for one in _each(runs, row, task, "probes")]
                axes[1][column].plot(np.mean(curves, axis=0), label=kind)
        small = [one["test"][task] for one in _each(runs, "G", task, "losses")]
        if small:
            axes[0][column].axhline(np.mean(small), color="k", ls=":", label="G: 2 blocks of 128")
        axes[0][column].set(title=LABELS[task], xlabel="million parameters in blocks", xscale="log")
        axes[0][column].set_xticks(sorted(shown), [f"{tick:.0f}" for tick in sorted(shown)])
        axes[0][column].minorticks_off()
        axes[1][column].set(xlabel=f"after block{about}", ylim=(-0.2, 1.0))
    axes[0][0].set_ylabel("test loss / constant")
    axes[1][0].set_ylabel("R² of linear probes")
    axes[0][0].legend()
    axes[1][0].legend()
    save_figure(figure, file)


def _each(runs: Runs, row: str, task: str, what: str) -> list[Any]:
    """Of each seed of a row that has it."""
    return [one[what] for one in seeds_of(runs, row, task).values() if what in one]
