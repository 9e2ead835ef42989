"""Whether a change of what all policies share leaves ordinary links as they are.

Flows of 20 s in the simulator, a video and a bulk flow over each validation trace of a grid at
three RTTs, in a folder where `recorded/` leads to the recordings. Before the change, and after it:

    python -m experiments.congestion.ordinary grids/shipped/live.yaml --out before.json
    python -m experiments.congestion.ordinary grids/shipped/live.yaml --than before.json

The second one says in how many flows any figure is another one, to the last digit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from experiments.congestion.closed_loop import RTTS_MS, controller
from experiments.congestion.output import markdown, save_json
from policy.tasks.congestion.simulator import Links, Video, simulate
from testbed.collect.grid import read_grid
from testbed.grid.sources import resolve_sources
from traces.model import Trace

Floats = NDArray[np.float64]
BUFFER_BDP = 4.0


def validation_traces(grid_file: Path) -> list[Trace]:
    """Those of the grid's validation split, never those of its test split."""
    grid = read_grid(grid_file)
    assert isinstance(grid.splits.validation, tuple)
    wanted = set(grid.splits.validation)
    sources = resolve_sources(grid.traces, grid.max_mean_rate_bps)
    return [source.trace for source in sources if source.name in wanted]


def links_of(found: list[Trace], seconds: int) -> Links:
    """Every trace at every RTT, from its beginning."""
    edges_ns = np.arange(seconds * 1000 + 1) * 1_000_000
    capacity = [trace.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3 for trace in found]
    mean_bps = np.array([trace.mean_bps() for trace in found])
    rtt_ms = np.repeat(RTTS_MS, len(found))
    buffers = np.maximum(BUFFER_BDP * np.tile(mean_bps, len(RTTS_MS)) * rtt_ms / 8e3, 6000.0)
    return Links(np.tile(np.stack(capacity, axis=1), (1, len(RTTS_MS))), rtt_ms, buffers)


def figures(links: Links, name: str, video: bool) -> dict[str, Floats]:
    """Measures per flow."""
    steps, flows = links.capacity_bps.shape
    source = Video(flows, steps) if video else None
    outcome = simulate(links, controller(name, None, "cpu", flows), source=source)
    measured = {
        "utilisation": outcome.utilisation,
        "queueing_p50_ms": outcome.queueing_p50_ms,
        "queueing_p95_ms": outcome.queueing_p95_ms,
        "lost_share": outcome.loss_rate,
        # Of every rate that was asked for.
        "sum_of_rates_bps": outcome.pacing_rate_bps.sum(axis=0),
    }
    if source is not None:
        arrived = np.zeros_like(outcome.delivered_bytes)
        for flow, one_way_ms in enumerate(links.rtt_ms // 2):
            arrived[one_way_ms:, flow] = outcome.delivered_bytes[:-one_way_ms, flow].cumsum()
        measured |= vars(source.shown(arrived))
    return measured


def changed(before: dict[str, Any], now: dict[str, Any]) -> int:
    """In how many flows any measure is another one."""
    different = [np.array(before[name]) != np.array(now[name]) for name in now]
    return int(np.count_nonzero(np.logical_or.reduce(different)))


@click.command(help=__doc__)
@click.argument("grid", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--policy", default="persistence", show_default=True, help="Who controls.")
@click.option("--seconds", default=20, show_default=True, help="Simulated length of each flow.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--than", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(grid: Path, policy: str, seconds: int, out: Path | None, than: Path | None) -> None:
    links = links_of(validation_traces(grid), seconds)
    results = {
        kind: {
            name: values.tolist()
            for name, values in figures(links, policy, kind == "video").items()
        }
        for kind in ("video", "bulk")
    }
    headings = ["flows", *results["video"]]
    rows = [
        [kind, *(f"{np.mean(each[name]):.6g}" if name in each else "" for name in headings[1:])]
        for kind, each in results.items()
    ]
    click.echo(markdown(headings, rows))
    if out is not None:
        save_json(out, results)
    if than is not None:
        before = json.loads(than.read_text(encoding="utf-8"))
        for kind, each in results.items():
            flows = len(links.rtt_ms)
            click.echo(f"{kind}: {changed(before[kind], each)} of {flows} flows changed")


if __name__ == "__main__":
    main()
