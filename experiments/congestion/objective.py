"""What a flow wants and what it gets: stalls, bitrate and delay over the objective.

A video over each validation trace of a grid in the simulator, as in
`experiments.congestion.closed_loop`: under each candidate at each objective, and under the models
of BBR and CUBIC. For each of the two, which settings are at least as good in everything that is
measured, in the mean over all flows and in the mean of every family?

\b
    python -m experiments.congestion.objective grids/shipped/live.yaml --out objective
    llm=policy/tasks/congestion/checkpoints/llm

The grid names recorded traces relative to the working directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.closed_loop import RTTS_MS, controller, links_of, run
from experiments.congestion.output import markdown, new_figure, number, save_figure, save_results
from policy.objective import BALANCED, format_objective, parse_objective
from policy.tasks.congestion.simulator import Links
from testbed.collect.collection import plan
from testbed.collect.grid import make_grid
from testbed.grid.sources import write_sources
from testbed.mappings import read_yaml

Floats = NDArray[np.float64]
OBJECTIVES = "0,0.25,0.5,0.75,1"
KERNEL = ("bbr", "cubic")
BETTER = {
    "bitrate_bps": max,
    "stall_100ms": min,
    "stall_200ms": min,
    "stall_500ms": min,
    "queueing_p95_ms": min,
}
"""What is judged, and which of two values is the better one."""
_ALL = "all"


@dataclass(frozen=True)
class Setting:
    """A controller and what its flows want."""

    name: str
    tier: str
    checkpoint: Path | None = None
    objective: float = BALANCED


def validation_traces(grid: Path, out: Path) -> dict[str, list[str]]:
    """The validation traces of a grid, written to `out`: the files by family. Raises UserError."""
    collection = plan(make_grid(read_yaml(grid), str(grid)), (), out)
    chosen = [s for s in collection.sources if collection.splits[s.name] == "validation"]
    files = write_sources(chosen, out / "traces")
    families: dict[str, list[str]] = {}
    for source in sorted(chosen, key=lambda source: source.name):
        families.setdefault(source.family, []).append(files[source.name])
    return families


def settings_of(candidates: Iterable[str], objectives: Sequence[float]) -> list[Setting]:
    """BBR, CUBIC and every candidate, TIER=CHECKPOINT, at every objective. Raises BadParameter."""
    chosen = [Setting(name, name) for name in KERNEL]
    for entry in candidates:
        tier, _, folder = entry.partition("=")
        checkpoint = Path(folder) if folder else None
        chosen += [
            Setting(f"{entry}@{format_objective(wanted)}", tier, checkpoint, wanted)
            for wanted in objectives
        ]
    return chosen


def measured(setting: Setting, links: Links, device: str) -> dict[str, Floats]:
    """What `experiments.congestion.closed_loop` measures, per flow."""
    flows = len(links.rtt_ms)
    driver = controller(
        setting.tier, setting.checkpoint, device, flows, objective=setting.objective
    )
    return run(links, driver)


def all_measured(
    chosen: Sequence[Setting], links: Links, device: str, jobs: int
) -> Iterator[dict[str, Floats]]:
    """What `measured` gives for each, in order; several at a time in processes of their own."""
    if jobs == 1:
        yield from (measured(setting, links, device) for setting in chosen)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(measured, setting, links, device) for setting in chosen]
        yield from (future.result() for future in waiting)


def means(values: dict[str, Floats], family: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """Each measure's mean over all flows and over those of each family."""
    groups = {_ALL: np.ones(len(family), bool)}
    groups |= {str(name): family == name for name in np.unique(family)}
    return {
        group: {name: float(value[members].mean()) for name, value in values.items()}
        for group, members in groups.items()
    }


def not_as_good(own: dict[str, Any], other: dict[str, Any], group: str) -> list[str]:
    """The judged measures in which `own` is worse than `other` in the mean over a group."""
    return [
        measure
        for measure, better in BETTER.items()
        if own[group][measure] != better(own[group][measure], other[group][measure])
    ]


def judgement(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each of BBR and CUBIC and each setting: what is worse in the mean over all flows, and by
    family."""
    kernel = {row["name"]: row["mean"] for row in rows if row["name"] in KERNEL}
    verdicts = []
    for name, reference in kernel.items():
        for row in rows:
            if row["name"] in KERNEL:
                continue
            worse = {group: not_as_good(row["mean"], reference, group) for group in reference}
            verdicts.append(
                {"against": name, "setting": row["name"]}
                | {"worse": {group: list_ for group, list_ in worse.items() if list_}}
            )
    return verdicts


def tables(results: dict[str, Any]) -> str:
    """Markdown: all settings in the mean, then each against BBR and CUBIC."""
    rows = [
        (
            row["name"],
            number(row["mean"][_ALL]["bitrate_bps"] / 1e6, 2),
            number(row["mean"][_ALL]["on_time_bps"] / 1e6, 2),
            *(number(100 * row["mean"][_ALL][f"stall_{ms}ms"]) for ms in (100, 200, 500)),
            number(row["mean"][_ALL]["queueing_p95_ms"], 0),
        )
        for row in results["settings"]
    ]
    headings = ("controller", "Mbit/s", "on time", "stalls > 100 ms %", "> 200 ms", "> 500 ms")
    text = markdown((*headings, "queueing p95 ms"), rows)
    verdicts = [
        (
            verdict["setting"],
            verdict["against"],
            ", ".join(verdict["worse"].get(_ALL, [])) or "nothing",
            ", ".join(
                f"{group}: {' '.join(measures)}"
                for group, measures in verdict["worse"].items()
                if group != _ALL
            )
            or "nothing",
        )
        for verdict in judgement(results["settings"])
    ]
    return text + "\n" + markdown(("setting", "against", "worse in", "in families"), verdicts)


def draw(results: dict[str, Any], path: Path) -> None:
    """Stalls and queueing delay against bitrate: a line over the objective for each candidate."""
    figure, axes = new_figure(2)
    shown = (
        ("stall_100ms", 100.0, "stalls > 100 ms, %"),
        ("queueing_p95_ms", 1.0, "queueing delay p95, ms"),
    )
    lines = dict.fromkeys(row["line"] for row in results["settings"] if row["line"])
    for axis, (measure, scale, label) in zip(axes[0], shown, strict=True):
        for name in lines:
            rows = [row for row in results["settings"] if row["line"] == name]
            places = [
                (row["mean"][_ALL]["bitrate_bps"] / 1e6, scale * row["mean"][_ALL][measure])
                for row in rows
            ]
            axis.plot(*zip(*places, strict=True), ".-", label=name.partition("=")[0])
            for row, place in zip(rows, places, strict=True):
                wanted = format_objective(row["objective"])
                axis.annotate(wanted, place, textcoords="offset points", xytext=(4, 3), fontsize=7)
        for row in results["settings"]:
            if not row["line"]:
                mean = row["mean"][_ALL]
                place = mean["bitrate_bps"] / 1e6, scale * mean[measure]
                axis.plot(*place, "ks", markersize=4)
                axis.annotate(row["name"], place, textcoords="offset points", xytext=(4, 3))
        axis.set_xlabel("displayed bitrate, Mbit/s")
        axis.set_ylabel(label)
    axes[0][1].set_yscale("log")
    axes[0][0].legend()
    save_figure(figure, path)


def write(out: Path, results: dict[str, Any]) -> None:
    """All that is left in the folder beside the traces."""
    save_results(out, results, tables(results))
    draw(results, out / "figure.svg")


@click.command(help=__doc__)
@click.argument("grid", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("candidates", nargs=-1, metavar="TIER=CHECKPOINT...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--objectives", default=OBJECTIVES, show_default=True)
@click.option("--seconds", default=30, show_default=True, help="Simulated length of each flow.")
@click.option("--device", default="auto", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the places in the traces.")
@click.option("--redraw", is_flag=True, help="Only table and figure, from results.json.")
def main(
    grid: Path,
    candidates: tuple[str, ...],
    out: Path,
    objectives: str,
    seconds: int,
    device: str,
    jobs: int,
    seed: int,
    redraw: bool,
) -> None:
    if redraw:
        write(out, json.loads((out / "results.json").read_text()))
        return
    try:
        wanted = [parse_objective(word) for word in objectives.split(",")]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    families = validation_traces(grid, out)
    names = [name for files in families.values() for name in files]
    members = [family for family, files in families.items() for _ in files]
    links = links_of(names, seconds, seed)
    family = np.repeat(np.array(members), len(RTTS_MS))
    chosen = settings_of(candidates, wanted)
    rows = []
    for setting, values in zip(chosen, all_measured(chosen, links, device, jobs), strict=True):
        line, _, _ = setting.name.rpartition("@")
        rows.append(
            {"name": setting.name, "line": line, "objective": setting.objective}
            | {"mean": means(values, family)}
        )
        click.echo(f"{setting.name}: done")
    results = {"flows": len(family), "seconds": seconds, "seed": seed, "settings": rows}
    write(out, results)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
