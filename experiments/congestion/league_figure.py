"""A league's video flows in one figure: bitrate against queueing delay, and stalls.

    python -m experiments.congestion.league_figure league/league.parquet --out league.svg

Left, medians over the cells with their intervals, as in the league's report; of the bitrate those
of the paired difference, since traces differ by more than schemes do. Right, the mean share of the
time in gaps of more than 100, 200 and 500 ms between pictures: medians of the longer ones are zero
and no longer tell schemes apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from analysis.errors import AnalysisError
from analysis.league.compare import ALL, Group, compare, default_baseline, scheme_order
from analysis.league.table import read_table, to_frame
from experiments.congestion.output import new_figure, save_figure

TICKS_MS = (20, 50, 100, 200, 500, 1000, 2000, 5000)
STALLS = {"stall_100": "> 100 ms", "stall_200": "> 200 ms", "stall_500": "> 500 ms"}


def draw_tradeoff(axis: Any, group: Group) -> None:
    """Bitrate, paired with the baseline's, against queueing delay."""
    for number, scheme in enumerate(group.schemes):
        delay, bitrate = group.of("qdelay_p95_ms", scheme), group.of("bitrate_mbps", scheme)
        if delay is None or bitrate is None:
            continue
        x, y = delay.median, 0.0 if bitrate.difference is None else bitrate.difference
        intervals = {"xerr": (x, delay.ci95), "yerr": (y, bitrate.difference_ci95)}
        bars = {
            bar: [[middle - ends[0]], [ends[1] - middle]]
            for bar, (middle, ends) in intervals.items()
            if ends is not None
        }
        axis.errorbar(x, y, **bars, fmt="o", color=f"C{number}", elinewidth=0.8, label=scheme)
    axis.set_xscale("log")
    axis.set_xticks(TICKS_MS, [str(tick) for tick in TICKS_MS], minor=False)
    axis.minorticks_off()
    axis.set_xlabel("queueing delay p95, ms")
    axis.set_ylabel(f"displayed bitrate over that of {group.baseline}, Mbit/s")
    axis.set_xlim(right=TICKS_MS[-1])  # room for the legend
    axis.legend(loc="lower right")


def draw_stalls(axis: Any, means: dict[str, list[float]], schemes: list[str]) -> None:
    """Bars, the shorter gaps behind the longer ones. means: % of the time, for each of STALLS, by
    scheme.
    """
    for number, (metric, label) in enumerate(STALLS.items()):
        axis.barh(
            schemes, means[metric], height=0.8 - 0.2 * number, color=f"C{number}", label=label
        )
    axis.invert_yaxis()
    axis.set_xlabel("stalls, % of the time, mean")
    axis.legend()


@click.command(help=__doc__)
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(table: Path, out: Path) -> None:
    try:
        frame = to_frame(read_table(table))
    except AnalysisError as error:
        raise click.ClickException(str(error)) from error
    cells = frame[frame["traffic"] == "video"]
    if cells.empty:
        raise click.ClickException(f"{table}: no cell of it has video traffic")
    schemes = scheme_order(cells["scheme"].unique().tolist())
    group = compare(cells, default_baseline(schemes), ALL, "video")
    share = 100 * cells.groupby("scheme")[list(STALLS)].mean()
    means = {metric: share.loc[schemes, metric].tolist() for metric in STALLS}
    figure, axes = new_figure(2)
    draw_tradeoff(axes[0][0], group)
    draw_stalls(axes[0][1], means, schemes)
    save_figure(figure, out)


if __name__ == "__main__":
    main()
