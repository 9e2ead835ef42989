"""Judges trained rows in each task's closed loop, on held-out units, and says what sharing costs.

    python -m experiments.generalist.judge rows --data data --abr ABR --profiles tpch.parquet \\
        --out judged.json

- congestion: a video over each test trace of the dataset, in the simulator; score = displayed
  bitrate / capacity - share of stalls > 100 ms - p95 of the queueing delay in s.
- abr: envivio and bbb over each test recording (`abr_data.py`); linear QoE a chunk.
- cjs: sequences of jobs of test queries; mean completion time in s, less is better.

Units are traces, recordings and sequences. Differences are paired by unit; a unit's value is the
mean over seeds, and 95 % intervals are bootstrapped over units. `python -m
experiments.generalist.judge --table judged.json` prints the table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.closed_loop import links_of, run
from experiments.generalist.abr_data import VIDEOS, recordings
from experiments.generalist.rows import TASKS
from policy.model import checkpoint
from policy.model.load import load_model
from policy.tasks.abr.bandwidth import pack
from policy.tasks.abr.joint import ModelAbr
from policy.tasks.abr.network import Model
from policy.tasks.abr.play import play as play_video
from policy.tasks.abr.qoe import qoe_of
from policy.tasks.abr.rules.base import Abr
from policy.tasks.abr.session import start as start_sessions
from policy.tasks.abr.video import read_video
from policy.tasks.cjs.environment import ClusterEnvironment
from policy.tasks.cjs.play import play as play_cluster
from policy.tasks.cjs.tensors import player
from policy.tasks.cjs.workload import as_live, workload
from policy.tasks.congestion.simulator import Controller, PolicyController

Floats = NDArray[np.float64]
RESAMPLES = 10_000
BETTER = {"congestion": 1.0, "abr": 1.0, "cjs": -1.0}
"""The sign that makes more of a score better."""


def congestion(
    folder: Path, data: Path, limit: int, device: str = "cpu", seconds: int = 15
) -> dict[str, float]:
    """Score by test trace, the mean over round trips."""
    policy = load_model(folder, device, "congestion")
    return on_links(lambda flows: PolicyController(policy, flows), data, limit, seconds)


def on_links(
    driver: Callable[[int], Controller], data: Path, limit: int, seconds: int = 15
) -> dict[str, float]:
    """The same of what drives so many flows."""
    record = json.loads((data / "congestion" / "collection.json").read_text())
    names = sorted(name for name, side in record["splits"].items() if side == "test")[:limit]
    files = [str(next((data / "congestion" / "traces").glob(f"{name}.*"))) for name in names]
    links = links_of(files, seconds, 1)
    score = run(links, driver(len(links.rtt_ms)))["score"]
    return dict(zip(names, score.reshape(len(names), -1).mean(axis=1).tolist(), strict=True))


def abr(
    folder: Path, shared: Path, limit: int, device: str = "cpu", side: str = "test"
) -> dict[str, float]:
    """QoE a chunk by recording, the mean over its traces and videos."""
    return on_recordings(ModelAbr(load_model(folder, device, task="abr")), shared, limit, side)


def on_recordings(policy: Abr, shared: Path, limit: int, side: str = "test") -> dict[str, float]:
    """The same of any policy."""
    found: dict[str, list[float]] = {}
    mine = recordings(shared, side)
    kept = sorted({one.recording for one in mine})[:limit]
    mine = [one for one in mine if one.recording in kept]
    for name in VIDEOS:
        video = read_video(shared / "videos" / f"{name}.json").clipped(48)
        sessions = start_sessions(video, pack(mine), qoe=qoe_of(video), model=Model.PENSIEVE)
        for one, qoe in zip(mine, play_video(policy, sessions).qoe.tolist(), strict=True):
            found.setdefault(one.recording, []).append(qoe)
    return {name: float(np.mean(values)) for name, values in found.items()}


def cjs(
    folder: Path,
    profiles: Path | None,
    sequences: int,
    jobs: int = 20,
    device: str = "cpu",
    live: bool = False,
) -> dict[str, float]:
    """Mean completion time in s by sequence."""
    model, _ = checkpoint.load(folder, task="cjs")
    scheduler = player(model, device)
    return on_clusters(
        lambda clusters: play_cluster(scheduler, clusters), profiles, sequences, jobs, live
    )


def on_clusters(
    play: Callable[[list[ClusterEnvironment]], Sequence[NDArray[Any]]],
    profiles: Path | None,
    sequences: int,
    jobs: int = 20,
    live: bool = False,
) -> dict[str, float]:
    """The same of what gives completion times in ms [jobs] of each cluster. profiles: None for
    generated jobs; live: on small clusters.
    """
    load = workload(profiles, "test")
    load = as_live(load) if live else load
    clusters = [load.environment(number, jobs) for number in range(sequences)]
    return {str(number): float(times.mean()) / 1e3 for number, times in enumerate(play(clusters))}


def units(judged: dict[str, Any], row: str, task: str) -> tuple[list[str], Floats] | None:
    """Names of the units, and their values in the mean over seeds; None if there are none."""
    seeds = [
        entry["units"][task]
        for entry in judged["checkpoints"]
        if entry["row"] in (row, f"{row}-{task}") and task in entry["units"]
    ]
    if not seeds:
        return None
    names = sorted(seeds[0])
    return names, np.array([[one[name] for name in names] for one in seeds]).mean(axis=0)


def difference(judged: dict[str, Any], row: str, other: str, task: str) -> dict[str, Any] | None:
    """Row less other, paired by unit; better is positive. Relative to the other's mean size."""
    one, two = units(judged, row, task), units(judged, other, task)
    if one is None or two is None:
        return None
    pairs = BETTER[task] * (one[1] - two[1])
    random = np.random.default_rng(20_251_211)
    drawn = pairs[random.integers(0, len(pairs), (RESAMPLES, len(pairs)))].mean(axis=1)
    size = abs(float(two[1].mean()))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "units": len(pairs),
        "mean": float(one[1].mean()),
        "other": float(two[1].mean()),
        "percent": 100 * float(pairs.mean()) / size,
        "ci95": [100 * float(low) / size, 100 * float(high) / size],
    }


def table(judged: dict[str, Any], row: str = "G", other: str = "F") -> str:
    """Markdown."""
    lines = [
        f"| task | units | {row} | {other} | {row} less {other}, % (better: positive) |",
        "|---|---:|---:|---:|---:|",
    ]
    for task in TASKS:
        found = difference(judged, row, other, task)
        if found is not None:
            low, high = found["ci95"]
            lines.append(
                f"| {task} | {found['units']} | {found['mean']:.3f} | {found['other']:.3f} | "
                f"{found['percent']:+.1f} [{low:+.1f}, {high:+.1f}] |"
            )
    return "\n".join(lines)


@click.command()
@click.argument("rows", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--data", type=click.Path(exists=True, path_type=Path))
@click.option("--abr", "shared", type=click.Path(exists=True, path_type=Path))
@click.option("--profiles", type=click.Path(exists=True, path_type=Path))
@click.option("--limit", default=60, show_default=True, help="Units of a task at most.")
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--table", "shown", type=click.Path(exists=True, path_type=Path))
@click.option("--compare", default="G,F", show_default=True, help="Two rows.")
def main(
    rows: Path | None,
    data: Path | None,
    shared: Path | None,
    profiles: Path | None,
    limit: int,
    out: Path | None,
    shown: Path | None,
    compare: str,
) -> None:
    """Judge the checkpoints below ROWS that OUT does not hold yet, or print a table of it."""
    one, other = compare.split(",")
    if shown is not None:
        click.echo(table(json.loads(shown.read_text()), one, other))
        return
    if rows is None or data is None or shared is None or profiles is None or out is None:
        raise click.UsageError("give ROWS, --data, --abr, --profiles and --out")
    judged: dict[str, Any] = {"checkpoints": []}
    if out.exists():
        judged = json.loads(out.read_text())
    known = {(entry["row"], entry["seed"]) for entry in judged["checkpoints"]}
    for config in sorted(rows.glob("*/*/checkpoint/config.json")):
        folder = config.parent
        row, seed = folder.parts[-3], int(folder.parts[-2])
        if (row, seed) in known:
            continue
        began = time.monotonic()
        record = json.loads(config.read_text())
        found: dict[str, Any] = {}
        if "congestion" in record["tasks"]:
            found["congestion"] = congestion(folder, data, limit)
        if "abr" in record["tasks"]:
            found["abr"] = abr(folder, shared, limit)
        if "cjs" in record["tasks"]:
            found["cjs"] = cjs(folder, profiles, min(limit, 24))
        entry = {
            "row": row,
            "seed": seed,
            "units": found,
            "trained_parameters": record["training"]["trained_parameters"],
            "progress": record["training"]["seeds"][str(seed)]["progress"],
            "files": record["files"],
        }
        judged["checkpoints"].append(entry)
        out.write_text(json.dumps(judged, indent=1))
        means = {task: round(float(np.mean(list(v.values()))), 3) for task, v in found.items()}
        click.echo(f"{row}, seed {seed}: {means}, {time.monotonic() - began:.0f} s")
    click.echo(table(judged, one, other))


if __name__ == "__main__":
    main()
