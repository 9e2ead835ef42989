"""The anchors' table: published logs, our rules, checkpoints and the optimum on the same traces.

    python -m experiments.abr.anchors FOLDER --set hsdpa-142 --policies robust-mpc,my.safetensors

FOLDER holds `logs/SET.parquet`, `traces/SET/*` and `videos/envivio.json`. QoE is the mean of linear
QoE over the 47 decided chunks, then over traces. Differences to the baseline are paired by trace,
with 95 % intervals bootstrapped over recordings. G is the share of the gap between baseline and
optimum that is closed. `--optimum` takes what `tbtest abr optimum --json` printed for the same
traces, so that it is not searched again. Logs of another video, or of other starts, are marked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from policy.tasks.abr.bandwidth import Floats, Traces, find_bandwidths, pack
from policy.tasks.abr.evaluate import make_policy, mean_ci95, policy_names
from policy.tasks.abr.optimum import optimum
from policy.tasks.abr.play import play
from policy.tasks.abr.session import Sessions, start
from policy.tasks.abr.video import read_video

CHUNKS = 48
TUNED = "robust-mpc:horizon=8,prior_error=.3,factor=.9"
PUBLISHED_BOLA = "bola:stable_s=30,capped=0,by_size=1"
OURS = "fast-mpc,fast-mpc:wander=.15"
POLICIES = (
    f"bba,rate,bola,{PUBLISHED_BOLA},dynamic,mpc,robust-mpc,{TUNED},{OURS},oracle-mean:factor=.8"
)


def logged(file: Path, traces: Traces) -> dict[str, Floats]:
    """QoE of each trace [n] by scheme; NaN where a scheme has no log of a trace."""
    log = pd.read_parquet(file)
    index = {name: i for i, name in enumerate(traces.names)}
    found: dict[str, Floats] = {}
    for scheme, rows in log[log["chunk"] > 0].groupby("scheme"):
        other = (rows["video"] != "envivio").any() or (rows["start"] != 1).any()
        qoe = np.full(len(traces), np.nan)
        for trace, mean in rows.groupby("trace")["reward"].mean().items():
            qoe[index[str(trace)]] = mean
        found[f"log {scheme}{' (other video or starts)' if other else ''}"] = qoe
    return found


def line(
    name: str, qoe: Mapping[str, Floats], baseline: str, best: Floats | None, recordings: list[str]
) -> str:
    """One row of the table."""
    own, against = qoe[name], qoe[baseline]
    known = ~np.isnan(own)
    kept = [recording for recording, keep in zip(recordings, known, strict=True) if keep]
    low, high = mean_ci95(own[known], kept) or (np.nan, np.nan)
    text = f"| {name} | {own[known].mean():.3f} [{low:.3f}, {high:.3f}] |"
    difference = own[known] - against[known]
    low, high = mean_ci95(difference, kept) or (np.nan, np.nan)
    text += f" {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] |" if name != baseline else " |"
    if best is None:
        return text
    gap = (best - against)[known].mean()
    return f"{text} {difference.mean() / gap:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the anchors' table of one trace set.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", dest="trace_set", default="hsdpa-142")
    parser.add_argument("--video", default="envivio")
    parser.add_argument("--policies", default=POLICIES)
    parser.add_argument("--baseline", default="robust-mpc")
    parser.add_argument("--optimum", type=Path, help="output of `tbtest abr optimum --json`")
    parser.add_argument("--no-optimum", action="store_true")
    args = parser.parse_args()
    video = read_video(args.folder / "videos" / f"{args.video}.json").clipped(CHUNKS)
    traces = pack(find_bandwidths(str(args.folder / "traces" / args.trace_set)))

    def fresh() -> Sessions:
        return start(video, traces)

    log = args.folder / "logs" / f"{args.trace_set}.parquet"
    qoe = logged(log, traces) if log.is_file() and args.video == "envivio" else {}
    for name in policy_names(args.policies):
        qoe[name] = play(make_policy(name), fresh()).qoe
    if args.baseline not in qoe:
        parser.error(f"--baseline {args.baseline} is none of {', '.join(qoe)}")
    best = None
    if args.optimum is not None:
        rows = {row["trace"]: row["qoe"] for row in json.loads(args.optimum.read_text())}
        best = np.array([rows[name] for name in traces.names])
    elif not args.no_optimum:
        best = optimum(fresh()).reached
    if best is not None:
        qoe["optimum"] = best
    recordings = list(traces.recordings)
    print(f"{args.trace_set}: {len(traces)} traces, {len(set(recordings))} recordings")
    titles, rule = ("| G |", "|---|---|---|---|") if best is not None else ("|", "|---|---|---|")
    print(f"\n| policy | QoE [95 %] | less {args.baseline} {titles}\n{rule}")
    for name in sorted(qoe, key=lambda key: float(np.nanmean(qoe[key]))):
        print(line(name, qoe, args.baseline, best, recordings))


if __name__ == "__main__":
    main()
