"""How few stalls at how large a picture: what a controller that knows the trace could reach, and
what others do.

A controller that knows the capacity of the coming 100, 200 or 400 ms asks every millisecond for a
share of what its queue leaves of it. The share sweeps out a frontier: no controller that has to
guess should be beyond it. A second one knows the capacity that was, one RTT late, as it is at the
latest when an ACK is back, also while nothing was sent: what persistence could reach with a perfect
estimate. Beside them the models of BBR and CUBIC, `gcc`, `persistence` and the candidates, on a
dataset's validation traces as in `experiments.congestion.closed_loop`; and how much of the stalls
is the encoder's own, on links of constant capacity.

\b
    python -m experiments.congestion.frontier experience --out frontier
    llm=policy/tasks/congestion/checkpoints/llm
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.closed_loop import (
    RTTS_MS,
    against_the_better,
    contestants,
    controller,
    links_of,
    run,
)
from experiments.congestion.output import markdown, new_figure, number, save_figure, save_results
from experiments.congestion.thresholds import trace_files
from policy.tasks.congestion.cwnd import cwnd_packets
from policy.tasks.congestion.settings import ServingConfig
from policy.tasks.congestion.simulator import Controller, Links
from policy.tasks.congestion.simulator.loop import MSS_BYTES, STEP_NS, Feedback
from policy.tasks.congestion.windows import Records

Floats = NDArray[np.float64]
HORIZONS_MS = (100, 200, 400)
GAINS = (0.7, 0.8, 0.9, 1.0, 1.05, 1.1, 1.2)
PAST_MS = 100
CONSTANT_BPS = 10e6
CONSTANT_FLOWS = 8
ROOM_MS = 100
"""Of cwnd beyond the BDP: the pacing rate alone is to decide."""
MIN_RATE_BPS = 50e3


def offered_bytes(links: Links) -> Floats:
    """What each link could have carried until each step; float64[k + 1, n]."""
    steps, flows = links.capacity_bps.shape
    offered: Floats = np.zeros((steps + 1, flows))
    np.cumsum(links.capacity_bps * (STEP_NS / 8e9), axis=0, out=offered[1:])
    return offered


class Clairvoyant:
    """Asks for `gain` times the rate that fills the next `horizon_ms` of each link and empties its
    queue by then.
    """

    def __init__(self, links: Links, gain: float, horizon_ms: int) -> None:
        steps, flows = links.capacity_bps.shape
        self.pacing_rate_bps: Floats = np.full(flows, MIN_RATE_BPS)
        self.cwnd_packets: Floats = np.full(flows, 10.0)
        self._gain, self._horizon, self._steps = gain, horizon_ms, steps
        self._room_ms = links.rtt_ms + ROOM_MS
        self._offered_bytes = offered_bytes(links)

    def on_feedback(self, feedback: Feedback) -> None:
        """See Controller."""
        start = feedback.at_ns // STEP_NS
        end = min(start + self._horizon, self._steps)
        free_bytes = self._offered_bytes[end] - self._offered_bytes[start] - feedback.queue_bytes
        rate_bps = self._gain * np.maximum(free_bytes, 0.0) * 8e9 / (max(end - start, 1) * STEP_NS)
        self.pacing_rate_bps = np.maximum(rate_bps, MIN_RATE_BPS)
        self.cwnd_packets = np.maximum(self.pacing_rate_bps * self._room_ms / 8e3 / MSS_BYTES, 4.0)

    def on_records(self, records: Records, now_ns: int) -> None:
        """Not needed."""


class Informed:
    """Asks for `gain` times the mean capacity of `PAST_MS` that ended an RTT ago, with the models'
    cwnd.
    """

    def __init__(self, links: Links, gain: float) -> None:
        flows = links.capacity_bps.shape[1]
        self.pacing_rate_bps: Floats = np.full(flows, MIN_RATE_BPS)
        self.cwnd_packets: Floats = np.full(flows, 10.0)
        self._gain, self._rtt_ms, self._flows = gain, links.rtt_ms, np.arange(flows)
        self._offered_bytes = offered_bytes(links)

    def on_feedback(self, feedback: Feedback) -> None:
        """See Controller."""
        end = np.maximum(feedback.at_ns // STEP_NS - self._rtt_ms, 0)
        start = np.maximum(end - PAST_MS, 0)
        carried_bytes = (
            self._offered_bytes[end, self._flows] - self._offered_bytes[start, self._flows]
        )
        rate_bps = self._gain * carried_bytes * 8e9 / (np.maximum(end - start, 1) * STEP_NS)
        self.pacing_rate_bps = np.maximum(rate_bps, MIN_RATE_BPS)
        self.cwnd_packets = cwnd_packets(
            self.pacing_rate_bps,
            self._rtt_ms * 1e6,
            np.full(len(self._flows), MSS_BYTES),
            queue_ns=ServingConfig().allowed_queue_ns,
            queue_rtt=ServingConfig().allowed_queue_rtt,
        )

    def on_records(self, records: Records, now_ns: int) -> None:
        """Not needed."""


def constant_links(rtt_ms: int, seconds: int) -> Links:
    """Links of constant capacity with 4 BDP of buffer."""
    flows = CONSTANT_FLOWS
    buffer_bytes = np.full(flows, 4 * CONSTANT_BPS * rtt_ms / 8e3)
    return Links(
        np.full((seconds * 1000, flows), CONSTANT_BPS), np.full(flows, rtt_ms), buffer_bytes
    )


def tables(results: dict[str, Any]) -> str:
    """Markdown: the frontier and the others, then the constant links."""
    rows = [
        (
            row["name"],
            number(100 * row["mean"]["stall_100ms"]),
            number(row["mean"]["bitrate_bps"] / 1e6, 2),
            number(row["mean"]["queueing_p95_ms"], 0),
            number(row["against_the_better"]["stall_100ms"], 2),
            number(row["against_the_better"]["bitrate_bps"], 2),
            number(row["against_the_better"]["queueing_p95_ms"], 2),
        )
        for row in results["schemes"]
    ]
    headings = ["scheme", "stalls > 100 ms %", "Mbit/s", "queueing p95 ms"]
    headings += ["stalls / better", "bitrate / better", "p95 / better"]
    floor = [
        (f"{row['rtt_ms']} ms", number(row["gain"], 1), number(100 * row["stall_100ms"]))
        for row in results["constant"]
    ]
    return markdown(headings, rows) + "\n" + markdown(("RTT", "gain", "stalls > 100 ms %"), floor)


def draw(results: dict[str, Any], path: Path) -> None:
    """Stalls against bitrate, both relative to the better of the models of BBR and CUBIC."""
    figure, axes = new_figure(1)
    axis = axes[0][0]
    for name in dict.fromkeys(row["line"] for row in results["schemes"] if "line" in row):
        line = [row["against_the_better"] for row in results["schemes"] if row.get("line") == name]
        axis.plot(
            [each["bitrate_bps"] for each in line],
            [each["stall_100ms"] for each in line],
            ".-",
            label=name,
        )
    for row in results["schemes"]:
        if "line" not in row:
            place = (
                row["against_the_better"]["bitrate_bps"],
                row["against_the_better"]["stall_100ms"],
            )
            axis.plot(*place, "ks", markersize=4)
            axis.annotate(row["name"], place, textcoords="offset points", xytext=(4, 3), fontsize=8)
    axis.axhline(0.5, color="C7", linestyle=":")
    axis.axvline(0.95, color="C7", linestyle=":")
    axis.set_xlabel("displayed bitrate / better")
    axis.set_ylabel("stalls > 100 ms / better")
    axis.legend()
    save_figure(figure, path)


def write(out: Path, results: dict[str, Any]) -> None:
    """All that is left in the folder."""
    save_results(out, results, tables(results))
    draw(results, out / "figure.svg")


@click.command(help=__doc__)
@click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("candidates", nargs=-1, metavar="TIER=CHECKPOINT...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--seconds", default=30, show_default=True, help="Simulated length of each flow.")
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the places in the traces.")
@click.option("--redraw", is_flag=True, help="Only table and figure, from results.json.")
def main(
    dataset: Path,
    candidates: tuple[str, ...],
    out: Path,
    seconds: int,
    device: str,
    seed: int,
    redraw: bool,
) -> None:
    if redraw:
        write(out, json.loads((out / "results.json").read_text()))
        return
    chosen = contestants(candidates)
    links = links_of(trace_files(None, dataset), seconds, seed)
    flows = len(links.rtt_ms)
    others = {
        entry: run(links, controller(tier, checkpoint, device, flows))
        for entry, (tier, checkpoint) in chosen.items()
    }
    schemes: list[dict[str, Any]] = []

    def add(name: str, values: dict[str, Floats], **about: Any) -> None:
        means = {measure: float(value.mean()) for measure, value in values.items()}
        better = against_the_better(values, others["bbr"], others["cubic"])
        schemes.append({"name": name, "mean": means, "against_the_better": better} | about)
        click.echo(
            f"{name}: stalls {number(better['stall_100ms'], 2)}, bitrate "
            f"{number(better['bitrate_bps'], 2)}"
        )

    lines: dict[str, Callable[[Links, float], Controller]] = {
        f"knows {horizon} ms": partial(Clairvoyant, horizon_ms=horizon) for horizon in HORIZONS_MS
    }
    for line, make in (lines | {"knows the past": Informed}).items():
        for gain in GAINS:
            add(f"{line}, × {gain:g}", run(links, make(links, gain)), line=line, gain=gain)
    for entry, values in others.items():
        add(chosen[entry][0], values)
    constant = []
    for rtt_ms in RTTS_MS:
        same = constant_links(rtt_ms, seconds)
        for gain in (1.0, 0.8):
            stalls = run(same, Clairvoyant(same, gain, HORIZONS_MS[0]))["stall_100ms"]
            constant.append({"rtt_ms": rtt_ms, "gain": gain, "stall_100ms": float(stalls.mean())})
    results = {
        "flows": flows,
        "seconds": seconds,
        "seed": seed,
        "schemes": schemes,
        "constant": constant,
    }
    write(out, results)
    click.echo(tables(results))


if __name__ == "__main__":
    main()
