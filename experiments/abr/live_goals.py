"""The goals for real browsers on real TCP, on a few paired sessions; needs root and Chromium.

    python -m experiments.abr.live_goals DATA OUT --traces 3 --minutes 3

DATA is that of `judge`. On every trace, under every controller, dash.js plays the same video once
with each chooser, among them its own rules. One `tbtest run` a session, `--parallel` of them at a
time; what was played to its end is not played again, so that a call of a few minutes may be
repeated until nothing is left. Then: QoE, stalls and start-up by chooser, differences to the tuned
MPC paired by trace and controller with 95 % over traces, and whether the simulator puts the
choosers that it has in the same order.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.metrics.dash import DashMetrics, dash_metrics
from analysis.run import load_run
from experiments.abr.live import PAYLOAD_SHARE, LiveSession, sessions_of, simulated_qoe
from experiments.abr.optima import spread
from policy.tasks.abr.bandwidth import Floats
from policy.tasks.abr.evaluate import mean_ci95
from policy.tasks.abr.network import Model
from testbed.traffic.dash.options import DashOptions

# The best of twelve variants, and of four of BOLA, for this video and buffer in simulation (`tcp`)
# on the recordings that training keeps for validation.
TUNED = "robust-mpc:horizon=5,prior_error=.3,factor=.8"
BOLA = "bola:stable_s=15"
CHOOSERS = ("policy", TUNED, BOLA, "dash.js")
CHUNKS, CHUNK_S = 32, 2
BUFFER_S = 20
LIMIT_S = 70
# Until the clock of a session runs, and after it has stopped.
START_S = 15


@dataclass(frozen=True)
class Played:
    """One live session."""

    trace: str
    cc: str
    abr: str
    metrics: DashMetrics


def manifest(data: Path, out: Path) -> Path:
    """Envivio's ladder in chunks of 2 s, so that a session lasts about a minute."""
    known = json.loads((data / "videos" / "envivio.json").read_text())
    share = CHUNK_S * 1000 / known["segment_duration_ms"]
    sizes = [[round(bits * share) for bits in row] for row in known["segment_sizes_bits"]]
    made = {
        "name": "envivio-2s",
        "segment_duration_ms": CHUNK_S * 1000,
        "bitrates_kbps": known["bitrates_kbps"],
        "segment_sizes_bits": sizes[:CHUNKS],
    }
    path = out / "video.json"
    path.write_text(json.dumps(made))
    return path


def command(trace: Path, cc: str, chooser: str, video: Path, out: Path) -> list[str]:
    options = f"{{player: chromium, video: {video}, buffer_cap_s: {BUFFER_S}}}"
    return [
        *(sys.executable, "-m", "testbed", "run", "--flow", "dash", "--cc", cc),
        *("--abr", chooser, "--trace", str(trace), "--rtt", "80ms"),
        *("--duration", f"{LIMIT_S}s", "--set", f"flow_options={options}", "--out", str(out)),
    ]


@dataclass(frozen=True)
class Wanted:
    """A session to play, and its folder."""

    folder: Path
    command: list[str]

    @property
    def done(self) -> bool:
        """Whether it was played to its end: the table of metrics is written last."""
        return (self.folder / "metrics.json").is_file()


def wanted(args: argparse.Namespace, video: Path) -> list[Wanted]:
    """All sessions: the first trace of every set before the second of any."""
    files = {name: sorted((args.data / "test" / name).iterdir()) for name in args.sets.split(",")}
    chosen = {name: spread(len(found), args.traces) for name, found in files.items()}
    sessions = []
    for at, test_set, cc in itertools.product(range(args.traces), files, args.cc.split(",")):
        if at >= len(chosen[test_set]):
            continue
        index = chosen[test_set][at]
        for number, chooser in enumerate(CHOOSERS):
            folder = args.out / f"{test_set}-{index}-{cc.replace(':', '+')}-{number}"
            line = command(files[test_set][index], cc, chooser, video, folder)
            sessions.append(Wanted(folder, line))
    return sessions


def run_missing(args: argparse.Namespace, ends: float) -> None:
    """Plays what was not played to its end; starts nothing that might end after `ends`."""
    waiting = [one for one in wanted(args, manifest(args.data, args.out)) if not one.done]
    running: list[subprocess.Popen[bytes]] = []
    try:
        while waiting or running:
            running = [process for process in running if process.poll() is None]
            late = time.monotonic() + LIMIT_S + START_S > ends
            if late and not running:
                break
            if waiting and not late and len(running) < args.parallel:
                one = waiting.pop(0)
                shutil.rmtree(one.folder, ignore_errors=True)
                with one.folder.with_suffix(".log").open("wb") as log:
                    running.append(
                        subprocess.Popen(one.command, stdout=log, stderr=subprocess.STDOUT)
                    )
            time.sleep(0.5)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    print(f"{len(waiting)} sessions are left to play")


def trace_of(folder: Path) -> str:
    """Set and number of the trace that a session's folder names."""
    return folder.name.rsplit("-", 2)[0]


def played_in(folder: Path) -> list[Played]:
    found = []
    for cell in load_run(folder).cells:
        for flow in cell.measured:
            metrics = dash_metrics(cell.log("chunks"), cell.log("sessions"), flow)
            if metrics is not None and metrics.qoe is not None:
                abr = DashOptions.model_validate(flow.options).abr
                cc = cell.record.cc.split(" ")[0]
                found.append(Played(trace_of(folder), cc, abr, metrics))
    return found


def kendall(one: Floats, other: Floats) -> float:
    """Kendall's tau-a of two lists of numbers."""
    pairs = [
        np.sign(one[i] - one[j]) * np.sign(other[i] - other[j])
        for i, j in itertools.combinations(range(len(one)), 2)
    ]
    return float(np.mean(pairs))


def print_table(played: Sequence[Played], folders: Sequence[Path]) -> None:
    choosers = list(dict.fromkeys(one.abr for one in played))
    by_pair: dict[tuple[str, str], dict[str, Played]] = {}
    for one in played:
        by_pair.setdefault((one.trace, one.cc), {})[one.abr] = one
    whole = {pair: found for pair, found in by_pair.items() if len(found) == len(choosers)}
    tuned = next(abr for abr in choosers if "prior_error" in abr)
    print(f"{len(whole)} pairs of trace and controller, {len({t for t, _ in whole})} traces\n")
    print("| chooser | QoE | less tuned MPC | stall | bitrate, Mbit/s | switches | start-up, s |")
    print("|---|---|---|---|---|---|---|")
    traces = [trace for trace, _ in whole]
    for abr in choosers:
        rows = [found[abr].metrics for found in whole.values()]
        qoe = np.array([row.qoe for row in rows], float)
        less = qoe - np.array([found[tuned].metrics.qoe for found in whole.values()], float)
        interval = mean_ci95(less, traces)
        bounds = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ""
        stall = np.mean([row.stall_ratio for row in rows])
        print(
            f"| {abr} | {qoe.mean():.3f} | {less.mean():+.3f}{bounds} | {100 * stall:.2f} % | "
            f"{np.mean([row.bitrate_mbps for row in rows]):.3f} | "
            f"{np.mean([row.switches for row in rows]):.1f} | "
            f"{np.mean([row.startup_s or np.nan for row in rows]):.2f} |"
        )
    for cc in dict.fromkeys(cc for _, cc in whole):
        means = ", ".join(
            f"{abr} {np.mean([f[abr].metrics.qoe for p, f in whole.items() if p[1] == cc]):.3f}"
            for abr in choosers
        )
        print(f"\n{cc}: {means}")
    lives: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for folder in folders:
        for live in sessions_of(folder):
            pair = (trace_of(folder), live.cell.record.cc.split(" ")[0])
            if pair in whole:
                lives.setdefault(pair, {})[live.options.abr] = both(live, whole[pair])
    known = [abr for abr in choosers if all(abr in found for found in lives.values())]
    real = np.array([[found[abr][0] for abr in known] for found in lives.values()])
    made = np.array([[found[abr][1] for abr in known] for found in lives.values()])
    print(f"\nsimulated by the tcp model: {', '.join(known)}")
    print("mean QoE, live:      " + ", ".join(f"{one:.3f}" for one in real.mean(axis=0)))
    print("mean QoE, simulated: " + ", ".join(f"{one:.3f}" for one in made.mean(axis=0)))
    within = float(np.mean([kendall(a, b) for a, b in zip(real, made, strict=True)]))
    over = kendall(real.mean(axis=0), made.mean(axis=0))
    across = float(np.corrcoef(real.ravel(), made.ravel())[0, 1])
    print(f"tau of the means {over:.2f}, within pairs {within:.2f}; correlation {across:.3f}")


def both(live: LiveSession, found: dict[str, Played]) -> tuple[float, float]:
    """QoE of a session, live and simulated."""
    real = found[live.options.abr].metrics.qoe
    assert real is not None
    return real, simulated_qoe(live, Model.TCP, PAYLOAD_SHARE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Paired live sessions, and their table.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", default="hsdpa-142,oboe-428-even,puffer-test")
    parser.add_argument("--traces", type=int, default=2, help="of each set, spread evenly")
    parser.add_argument("--cc", default="bbr,cubic")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=0.0, help="0: run nothing, only the table")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.minutes:
        run_missing(args, time.monotonic() + args.minutes * 60)
    folders = [path.parent for path in sorted(args.out.glob("*/metrics.json"))]
    played = [one for folder in folders for one in played_in(folder)]
    if played:
        print_table(played, folders)


if __name__ == "__main__":
    main()
