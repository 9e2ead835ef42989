"""Virtual time beside live runs on a quiet machine: ten recorded validation traces.

    python -m experiments.virtual.beside virtual OUT --recorded DIR
    sudo python -m experiments.virtual.beside live OUT --recorded DIR [--for-s 170]
    python -m experiments.virtual.beside table OUT

DIR holds the recordings, a folder for each family. A run compares the five controllers on one trace
and one kind of traffic, at one of three RTTs: the traces take turns. Runs that are there are not
run again: `live` begins no run that would outlast --for-s, so that a measurement is made in turns.
`table` prints medians over the traces, with intervals, and the median over the pairs of live and
virtual cells of their ratio.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.metrics.schema import CellMetrics, Metrics
from analysis.statistics import median_ci95
from policy.python import python_command
from traces import load, write_parquet

# The validation traces of grids/shipped/live.yaml.
TRACES = (
    "fcc-hd/trace0000.json",
    "fcc-hd/trace0011.json",
    "ghent-4g/report_bicycle_0001.json",
    "ghent-4g/report_bicycle_0002.json",
    "lumos5g/4g_trace_driving_50015_dr.txt",
    "lumos5g/4g_trace_driving_50097_dr.txt",
    "mahimahi/ATT-LTE-driving.down.gz",
    "mahimahi/Verizon-EVDO-driving.up.gz",
    "norway-3g/report.2010-09-13_1003CEST.json",
    "norway-3g/report.2010-09-14_2303CEST.json",
)
CONTROLLERS = ("bbr", "cubic", "reno", "policy:gcc", "policy")
FLOWS = ("bulk", "video")
RTTS = ("20ms", "40ms", "100ms")
MAX_MEAN_BPS = 10e6
"""Faster traces are scaled down to it, as in the grids."""
SECONDS = 6


@dataclass(frozen=True)
class Run:
    """One `tbtest run`: every controller on a trace."""

    trace: str
    flow: str
    rtt: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.flow}-{self.rtt}-{self.trace.replace('/', '.')}"


def plan() -> list[Run]:
    """All runs."""
    return [
        Run(trace, flow, rtt)
        for trace, rtt in zip(TRACES, itertools.cycle(RTTS), strict=False)
        for flow in FLOWS
    ]


def measure(out: Path, runs: Sequence[Run], recorded: Path, *, live: bool, for_s: float) -> None:
    """Run what has no metrics yet, until the time is over. Raises CalledProcessError."""
    begun, longest_s = time.monotonic(), 0.0
    where = out / ("live" if live else "virtual")
    where.mkdir(parents=True, exist_ok=True)
    for run in runs:
        metrics = where / f"{run.name}.json"
        if metrics.exists():
            continue
        start = time.monotonic()
        if start - begun + longest_s > for_s:
            return
        argv = ["run", "--json", "--cc", ",".join(CONTROLLERS), "--flow", run.flow, "--rtt"]
        argv += [run.rtt, "--duration", f"{SECONDS}s", "--trace", str(_trace(out, recorded, run))]
        argv += ["--out", str(where / run.name)]
        argv += [] if live else ["--virtual"]
        done = subprocess.run(
            python_command("testbed", *argv), stdout=subprocess.PIPE, text=True, check=True
        )
        metrics.write_text(done.stdout, encoding="utf-8")
        longest_s = max(longest_s, time.monotonic() - start)
        print(f"{run.name}: {time.monotonic() - start:.0f} s", flush=True)


def _trace(out: Path, recorded: Path, run: Run) -> Path:
    path = out / "traces" / f"{run.trace.replace('/', '.')}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        trace = load(recorded / run.trace)
        write_parquet(trace.scaled(min(1.0, MAX_MEAN_BPS / trace.mean_bps())), path)
    return path


QUANTITIES: dict[str, Callable[[CellMetrics], float | None]] = {
    "throughput, Mbit/s": lambda cell: cell.throughput_mbps,
    "one-way delay p50, ms": lambda cell: cell.owd_ms.p50,
    "queueing delay p95, ms": lambda cell: cell.qdelay_ms.p95,
    "on-time bitrate, Mbit/s": lambda cell: cell.video.on_time_bitrate_mbps if cell.video else None,
}
"""What is compared; None where a cell has none."""
Cells = dict[tuple[Run, str], dict[str, float | None]]
"""The quantities of each run's controllers."""


def cells(out: Path, where: str, runs: Sequence[Run]) -> Cells:
    """What was measured on a side. Raises OSError."""
    found: Cells = {}
    for run in runs:
        path = out / where / f"{run.name}.json"
        if path.exists():
            metrics = Metrics.model_validate_json(path.read_bytes())
            for cell in metrics.cells:
                values = {title: of(cell) for title, of in QUANTITIES.items()}
                found[run, cell.cc] = values
    return found


def rows(live: Cells, virtual: Cells) -> Iterator[tuple[str, ...]]:
    """Of the cells that both sides have: traffic, controller, quantity, either side's
    median over the traces with its interval, that of their ratio, and how many traces.
    """
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for (run, cc), values in live.items():
        for title, value in values.items():
            other = virtual.get((run, cc), {}).get(title)
            if value is not None and other is not None:
                groups.setdefault((run.flow, cc, title), []).append((value, other))
    for (flow, cc, title), pairs in groups.items():
        ratios = [other / value if value else np.nan for value, other in pairs]
        texts = (_text(values) for values in (*zip(*pairs, strict=True), ratios))
        yield (flow, cc, title, *texts, str(len(pairs)))


def _text(values: Sequence[float]) -> str:
    median, interval = median_ci95(values)
    around = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
    return f"{median:.3g}{around}"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Compare virtual time with live runs.")
    parser.add_argument("what", choices=("virtual", "live", "table"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--recorded", type=Path, default=Path("recorded"))
    parser.add_argument("--for-s", type=float, default=float("inf"))
    args = parser.parse_args()
    runs = plan()
    if args.what != "table":
        measure(args.out, runs, args.recorded, live=args.what == "live", for_s=args.for_s)
        return
    print("| traffic | controller | quantity | live | virtual | virtual / live | traces |")
    print(f"|{'---|' * 7}")
    for row in rows(*(cells(args.out, where, runs) for where in ("live", "virtual"))):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
