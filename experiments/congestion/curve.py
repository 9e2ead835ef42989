"""What the objective buys on real TCP: a league's video flows, the policy at several objectives
beside bbr and cubic.

\b
    tbtest league grids/shipped/curve.yaml --virtual --out curve
    python -m experiments.congestion.curve curve/league.parquet --out curve

Whole scenarios alone count: those that every scheme has run. Means over scenarios, and medians of
the paired differences to bbr and to cubic with 95 % intervals from resampled traces
(`analysis.statistics`).
"""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from analysis.errors import AnalysisError
from analysis.league.table import read_table, to_frame
from analysis.statistics import paired_difference_ci95
from experiments.congestion.output import markdown, new_figure, number, save_figure
from policy.objective import parse_objective

MEASURES = {
    "on_time_mbps": ("on time, Mbit/s", 1.0, 2),
    "bitrate_mbps": ("bitrate, Mbit/s", 1.0, 2),
    "stall_100": ("stalls > 100 ms, %", 100.0, 1),
    "stall_200": ("> 200 ms, %", 100.0, 1),
    "stall_500": ("> 500 ms, %", 100.0, 1),
    "qdelay_p95_ms": ("queueing p95, ms", 1.0, 0),
    "utilisation": ("utilisation, %", 100.0, 0),
}
"""Column of a league -> heading, factor, digits."""
RIVALS = ("bbr", "cubic")


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    """The video rows of the scenarios that every scheme has run."""
    video = frame[frame["flow"] == "video"]
    count = video.groupby("scenario")["scheme"].transform("nunique")
    return video[count == video["scheme"].nunique()]


def objective(scheme: str) -> float | None:
    """The objective of a scheme under the policy; None for another one."""
    name, _, wanted = scheme.partition("@")
    return parse_objective(wanted or "balanced") if name.startswith("policy") else None


def ordered(schemes: set[str]) -> list[str]:
    """The policy from `latency` to `throughput`, then the others."""

    def place(scheme: str) -> tuple[bool, float, str]:
        wanted = objective(scheme)
        return wanted is None, wanted or 0.0, scheme

    return sorted(schemes, key=place)


def means_table(frame: pd.DataFrame) -> str:
    """A row for each scheme."""
    rows = []
    for scheme in ordered(set(frame["scheme"])):
        own = frame[frame["scheme"] == scheme]
        cells = [
            number(factor * own[name].mean(), digits)
            for name, (_, factor, digits) in MEASURES.items()
        ]
        rows.append([scheme, *cells])
    return markdown(["mean", *(heading for heading, _, _ in MEASURES.values())], rows)


def differences_table(frame: pd.DataFrame, rival: str) -> str:
    """What the policy has more than the rival, paired by scenario."""
    theirs = frame[frame["scheme"] == rival].set_index("scenario")
    rows = []
    for scheme in ordered(set(frame["scheme"])):
        if objective(scheme) is None:
            continue
        own = frame[frame["scheme"] == scheme].set_index("scenario").loc[theirs.index]
        cells = []
        for name, (_, factor, digits) in MEASURES.items():
            median, interval = paired_difference_ci95(
                (factor * own[name]).tolist(),
                (factor * theirs[name]).tolist(),
                own["trace"].tolist(),
            )
            text = f"{median:+.{digits}f}"
            if interval is not None:
                text += f" [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"
            cells.append(text)
        rows.append([scheme, *cells])
    headings = (heading for heading, _, _ in MEASURES.values())
    return markdown([f"paired, less {rival}'s", *headings], rows)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Stalls, delay and on-time bitrate against bitrate: a line over the objective."""
    figure, axes = new_figure(3)
    means = frame.groupby("scheme")[list(MEASURES)].mean()
    line = [scheme for scheme in ordered(set(means.index)) if objective(scheme) is not None]
    for axis, name in zip(axes[0], ("stall_100", "qdelay_p95_ms", "on_time_mbps"), strict=True):
        heading, factor, _ = MEASURES[name]
        axis.plot(means.loc[line, "bitrate_mbps"], factor * means.loc[line, name], "o-")
        for scheme in means.index:
            place = means.loc[scheme, "bitrate_mbps"], factor * means.loc[scheme, name]
            if scheme not in line:
                axis.plot(*place, "ks", markersize=5)
            axis.annotate(scheme, place, textcoords="offset points", xytext=(4, 4), fontsize=7)
        axis.set_xlabel("displayed bitrate, Mbit/s")
        axis.set_ylabel(heading)
        axis.margins(0.2)
    axes[0][1].set_yscale("log")
    save_figure(figure, path)


@click.command(help=__doc__)
@click.argument("league", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("curve"), show_default=True)
def main(league: Path, out: Path) -> None:
    """Print the tables; write them and the figure to --out."""
    try:
        frame = whole(to_frame(read_table(league)))
    except AnalysisError as error:
        raise click.ClickException(str(error)) from error
    missing = {*RIVALS, "policy"} - set(frame["scheme"])
    if missing:
        raise click.ClickException(f"{league}: no whole scenario with {', '.join(sorted(missing))}")
    scenarios, traces = frame["scenario"].nunique(), frame["trace"].nunique()
    counted = f"{scenarios} scenarios on {traces} traces of {frame['family'].nunique()} families\n"
    parts = [counted, means_table(frame), *(differences_table(frame, rival) for rival in RIVALS)]
    text = "\n".join(parts)
    out.mkdir(parents=True, exist_ok=True)
    (out / "curve.md").write_text(text)
    draw(frame, out / "curve.svg")
    click.echo(text)


if __name__ == "__main__":
    main()
