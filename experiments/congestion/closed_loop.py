"""Checkpoints in the closed loop of the simulator, on a dataset's validation traces: which one to
ship.

    python -m experiments.congestion.closed_loop experience --out choice llm=runs/llm0/checkpoint
    gru=runs/gru/checkpoint

Every candidate drives a video over each trace, at RTT 20, 60 and 120 ms. Beside them run models of
the kernel's BBR and CUBIC, `gcc` and `persistence`. The score, by which the best is chosen, is

    displayed bitrate / mean capacity - share of time in stalls > 100 ms - p95 of the queueing delay
    in seconds,

averaged over flows. The error against hindsight (MAPE) ranks models too, but says nothing of what a
mistake costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import traces
from analysis.statistics import paired_difference_ci95
from experiments.congestion.output import markdown, number, save_results
from experiments.congestion.thresholds import trace_files
from policy.api import PolicyContext
from policy.objective import BALANCED
from policy.registry import create
from policy.tasks.congestion.simulator import (
    Bbr,
    Controller,
    Cubic,
    Links,
    PolicyController,
    Video,
    simulate,
)

Floats = NDArray[np.float64]
RTTS_MS = (20, 60, 120)
BUFFERS_BDP = (1.0, 4.0, 16.0)
REFERENCES = ("bbr", "cubic", "gcc", "persistence")
RATIOS = {"stall_100ms": min, "stall_200ms": min, "queueing_p95_ms": min, "bitrate_bps": max}


def contestants(candidates: Sequence[str]) -> dict[str, tuple[str, Path | None]]:
    """Tier and checkpoint of the references and the candidates, TIER=CHECKPOINT each, by the name
    given.

    Raises:
        BadParameter: a candidate has no checkpoint.
    """
    found: dict[str, tuple[str, Path | None]] = {name: (name, None) for name in REFERENCES}
    for entry in candidates:
        tier, _, folder = entry.partition("=")
        if not folder:
            raise click.BadParameter(
                f"{entry!r}: give TIER=CHECKPOINT, such as gru=runs/gru/checkpoint"
            )
        found[entry] = tier, Path(folder)
    return found


def links_of(names: Sequence[str], seconds: int, seed: int) -> Links:
    """Every trace at every RTT, from a seeded place in it, with buffers in turn."""
    random = np.random.default_rng(seed)
    edges_ns = np.arange(seconds * 1000 + 1) * 1_000_000
    capacity, rtts, buffers = [], [], []
    for name in names:
        trace = traces.load(name)
        for index, rtt_ms in enumerate(RTTS_MS):
            late_ns = max(0, trace.duration_ns - seconds * 10**9)
            moved = trace.starting_at(int(random.integers(late_ns // 10**8 + 1)) * 10**8)
            capacity.append(moved.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3)
            rtts.append(rtt_ms)
            bdp_bytes = trace.mean_bps() * rtt_ms / 8e3
            buffers.append(max(BUFFERS_BDP[(index + len(capacity)) % 3] * bdp_bytes, 6000.0))
    return Links(np.stack(capacity, axis=1), np.array(rtts), np.array(buffers))


def controller(
    name: str, checkpoint: Path | None, device: str, flows: int, objective: float = BALANCED
) -> Controller:
    """A reference, or a candidate's tier. Raises PolicyError, ModelError."""
    if name == "bbr":
        return Bbr(flows)
    if name == "cubic":
        return Cubic(flows)
    policy = create(name, PolicyContext(flows, checkpoint, device))
    return PolicyController(policy, flows, objective=objective)


def run(links: Links, driver: Controller) -> dict[str, Floats]:
    """Measures per flow."""
    flows = len(links.rtt_ms)
    video = Video(flows, len(links.capacity_bps))
    outcome = simulate(links, driver, source=video)
    arrived = np.zeros_like(outcome.delivered_bytes)
    for flow, one_way_ms in enumerate(links.rtt_ms // 2):
        arrived[one_way_ms:, flow] = outcome.delivered_bytes[:-one_way_ms, flow].cumsum()
    shown = video.shown(arrived)
    return {
        "stall_100ms": shown.stall_100ms,
        "stall_200ms": shown.stall_200ms,
        "stall_500ms": shown.stall_500ms,
        "bitrate_bps": shown.bitrate_bps,
        "on_time_bps": shown.on_time_bps,
        "queueing_p95_ms": outcome.queueing_p95_ms,
        "utilisation": outcome.utilisation,
        "score": shown.bitrate_bps / np.maximum(links.capacity_bps.mean(axis=0), 1.0)
        - shown.stall_100ms
        - outcome.queueing_p95_ms / 1e3,
    }


def against_the_better(
    own: dict[str, Floats], bbr: dict[str, Floats], cubic: dict[str, Floats]
) -> Any:
    """Per measure the median over flows of own / the better of both; flows in which that is 0 are
    left out.
    """
    ratios = {}
    for measure, better in RATIOS.items():
        best = (np.minimum if better is min else np.maximum)(bbr[measure], cubic[measure])
        usable = best > 0
        ratios[measure] = (
            float(np.median(own[measure][usable] / best[usable])) if usable.any() else None
        )
    return ratios


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    rows = []
    for row in results["schemes"]:
        ratio = row["against_the_better"]
        interval = row["score_over_gcc"]["ci95"]
        over = f"[{number(interval[0], 3)}, {number(interval[1], 3)}]" if interval else "–"
        rows.append(
            [
                row["name"],
                number(row["mean"]["score"], 3),
                over,
                number(100 * row["mean"]["stall_100ms"], 1),
                number(100 * row["mean"]["stall_200ms"], 1),
                number(row["mean"]["queueing_p95_ms"], 0),
                number(row["mean"]["bitrate_bps"] / 1e6, 2),
                *(number(ratio[measure], 2) for measure in RATIOS),
            ]
        )
    headings = [
        "scheme",
        "score",
        "over gcc, 95 %",
        "stalls > 100 ms %",
        "> 200 ms %",
        "queueing p95 ms",
    ]
    headings += [
        "Mbit/s",
        "stalls 100 / better",
        "200 / better",
        "p95 / better",
        "bitrate / better",
    ]
    return markdown(headings, rows)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("candidates", nargs=-1, metavar="TIER=CHECKPOINT...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--seconds", default=30, show_default=True, help="Simulated length of each flow.")
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the places in the traces.")
def main(
    dataset: Path, candidates: tuple[str, ...], out: Path, seconds: int, device: str, seed: int
) -> None:
    """Compare CANDIDATES, each a tier's name and its checkpoint, on DATASET's validation traces."""
    chosen = contestants(candidates)
    links = links_of(trace_files(None, dataset), seconds, seed)
    flows = len(links.rtt_ms)
    measured: dict[str, dict[str, Floats]] = {}
    for entry, (tier, checkpoint) in chosen.items():
        measured[entry] = run(links, controller(tier, checkpoint, device, flows))
        click.echo(f"{entry}: score {measured[entry]['score'].mean():.3f}")
    schemes = []
    for entry, values in measured.items():
        gain, interval = paired_difference_ci95(
            values["score"].tolist(), measured["gcc"]["score"].tolist()
        )
        schemes.append(
            {
                "name": entry,
                "mean": {name: float(value.mean()) for name, value in values.items()},
                "score_over_gcc": {"median": gain, "ci95": interval},
                "against_the_better": against_the_better(
                    values, measured["bbr"], measured["cubic"]
                ),
            }
        )
    schemes.sort(key=lambda row: -float(row["mean"]["score"]))  # type: ignore[index]
    results = {"flows": flows, "seconds": seconds, "seed": seed, "schemes": schemes}
    save_results(out, results, table(results))
    click.echo(table(results))


if __name__ == "__main__":
    main()
