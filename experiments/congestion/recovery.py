"""How much of its link a flow uses in its first seconds, and in those after an outage.

A bulk flow and a video in the simulator on the validation traces of a grid, at RTT 20, 60 and 120
ms: from another place of each trace at each RTT for `FIRST_S`, and over at most three outages of
each trace, from `BEFORE_S` before the outage to `AFTER_S` behind it. An outage is a time of 0.5 to
10 s in which no 100 ms carry more than a twentieth of the trace's mean rate. Under each candidate,
and under the models of BBR and CUBIC.

\b
    python -m experiments.congestion.recovery grids/shipped/live.yaml --out recovery
    llm=policy/tasks/congestion/checkpoints/llm

The grid names recorded traces relative to the working directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import traces
from experiments.congestion.closed_loop import BUFFERS_BDP, RTTS_MS, controller
from experiments.congestion.objective import KERNEL, Setting, settings_of, validation_traces
from experiments.congestion.output import markdown, number, save_results
from policy.objective import BALANCED
from policy.tasks.congestion.simulator import Links, Video, simulate
from traces.model import Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FIRST_S = 10
BEFORE_S, AFTER_S = 5, 5
LONGEST_S = 10
_BIN_MS = 100
_BINS_PER_S = 1000 // _BIN_MS
_STEP_NS = 1_000_000
_LEAST_BINS = 5
_MOST_OUTAGES = 3
_LOW = 0.05
_LEAST_BUFFER_BYTES = 6000.0
FLOWS = ("bulk", "video")


def outages_in(rate_bps: Floats, mean_bps: float) -> list[tuple[int, int]]:
    """First 100 ms of each outage and the first after it; rate_bps: float64[n] of each 100 ms."""
    low = np.concatenate([[False], rate_bps < _LOW * mean_bps, [False]])
    starts, ends = np.flatnonzero(low[1:] & ~low[:-1]), np.flatnonzero(~low[1:] & low[:-1])
    long = (ends - starts >= _LEAST_BINS) & (ends - starts <= LONGEST_S * _BINS_PER_S)
    return list(zip(starts[long].tolist(), ends[long].tolist(), strict=True))


def outages(trace: Trace) -> list[tuple[int, int]]:
    """Start and end [ms] of the outages that have BEFORE_S before and AFTER_S behind them."""
    edges_ns = np.arange(trace.duration_ns // (_BIN_MS * _STEP_NS) + 1) * (_BIN_MS * _STEP_NS)
    rate_bps = trace.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3 / _BIN_MS
    return [
        (start * _BIN_MS, end * _BIN_MS)
        for start, end in outages_in(rate_bps, trace.mean_bps())
        if start > BEFORE_S * _BINS_PER_S and end + AFTER_S * _BINS_PER_S <= len(rate_bps)
    ]


def spread(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """At most three of them, over all of the trace."""
    count = min(len(places), _MOST_OUTAGES)
    return [places[k * len(places) // count] for k in range(count)]


def links_at(places: Sequence[tuple[Trace, int, int]], seconds: int) -> Links:
    """Traces, each from a time [ms] on and at one RTT [ms], with buffers in turn."""
    edges_ns = np.arange(seconds * 1000 + 1) * _STEP_NS
    capacity, rtts, buffers = [], [], []
    for trace, start_ms, rtt_ms in places:
        moved = trace.starting_at(start_ms * _STEP_NS)
        capacity.append(moved.capacity_bytes(edges_ns[:-1], edges_ns[1:]) * 8e3)
        rtts.append(rtt_ms)
        index = RTTS_MS.index(rtt_ms)
        buffer_bdp = BUFFERS_BDP[(index + len(capacity)) % len(BUFFERS_BDP)]
        buffers.append(max(buffer_bdp * trace.mean_bps() * rtt_ms / 8e3, _LEAST_BUFFER_BYTES))
    return Links(np.stack(capacity, axis=1), np.array(rtts), np.array(buffers))


def starts(files: Sequence[str]) -> tuple[Links, Ints]:
    """Links for the first seconds, and when what is looked at begins [ms]."""
    places = []
    for trace in map(traces.load, files):
        spare_ms = max(trace.duration_ns // _STEP_NS - FIRST_S * 1000, 1000)
        places += [
            (trace, (3 + 7 * index) * 1000 % spare_ms, rtt_ms)
            for index, rtt_ms in enumerate(RTTS_MS)
        ]
    return links_at(places, FIRST_S), np.zeros(len(places), np.int64)


def recoveries(files: Sequence[str]) -> tuple[Links, Ints]:
    """Links with an outage, and when each outage ends [ms]."""
    places, ends_ms = [], []
    for file in files:
        trace = traces.load(file)
        for start_ms, end_ms in spread(outages(trace)):
            places += [(trace, start_ms - BEFORE_S * 1000, rtt_ms) for rtt_ms in RTTS_MS]
            ends_ms += [BEFORE_S * 1000 + end_ms - start_ms] * len(RTTS_MS)
    return links_at(places, BEFORE_S + LONGEST_S + AFTER_S), np.array(ends_ms)


def used(delivered_bytes: Floats, links: Links, from_ms: Ints, seconds: int) -> Floats:
    """Share of the capacity that each flow used from a time on; delivered_bytes: float64[k, n]."""
    shares = np.zeros(len(from_ms))
    for flow, start in enumerate(from_ms.tolist()):
        window = slice(start, start + seconds * 1000)
        offered_bytes = links.capacity_bps[window, flow].sum() * (_STEP_NS / 8e9)
        shares[flow] = delivered_bytes[window, flow].sum() / max(offered_bytes, 1.0)
    return shares


def measured(setting: Setting, files: Sequence[str], device: str) -> dict[str, dict[str, float]]:
    """Mean share of the capacity by kind of flow, `first` and `after`."""
    found: dict[str, dict[str, float]] = {kind: {} for kind in FLOWS}
    for name, make, seconds in (("first", starts, FIRST_S), ("after", recoveries, AFTER_S)):
        links, from_ms = make(files)
        flows = len(from_ms)
        for kind in FLOWS:
            driver = controller(
                setting.tier, setting.checkpoint, device, flows, objective=setting.objective
            )
            video = Video(flows, len(links.capacity_bps)) if kind == "video" else None
            outcome = simulate(links, driver, source=video)
            found[kind][name] = float(used(outcome.delivered_bytes, links, from_ms, seconds).mean())
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown; behind each share, its part of the better one of BBR and CUBIC."""
    kernel = [row["used"] for row in rows if row["name"] in KERNEL]
    lines = []
    for row in rows:
        line = [row["name"]]
        for name in ("first", "after"):
            for kind in FLOWS:
                share = row["used"][kind][name]
                better = max(used_[kind][name] for used_ in kernel)
                line.append(f"{number(share, 3)} ({number(share / better, 2)})")
        lines.append(line)
    headings = [
        f"{when}, {kind}"
        for when in (f"first {FIRST_S} s", f"{AFTER_S} s after an outage")
        for kind in FLOWS
    ]
    return markdown(("controller", *headings), lines)


@click.command(help=__doc__)
@click.argument("grid", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("candidates", nargs=-1, metavar="TIER=CHECKPOINT...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True)
def main(grid: Path, candidates: tuple[str, ...], out: Path, device: str, jobs: int) -> None:
    files = [file for group in validation_traces(grid, out).values() for file in group]
    chosen = settings_of(candidates, [BALANCED])
    ask = partial(measured, files=files, device=device)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        shares = list(pool.map(ask, chosen))
    rows = [
        {"name": setting.name, "used": share} for setting, share in zip(chosen, shares, strict=True)
    ]
    save_results(out, {"traces": len(files), "controllers": rows}, table(rows))
    click.echo(table(rows))


if __name__ == "__main__":
    main()
